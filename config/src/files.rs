//! Files on disk to sources: the only part of the crate that does IO.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::report::{Problem, Report, Severity};
use crate::source::{MAX_BYTES, Source};

/// The most files of a directory: past this it is hardly a folder of configuration.
const MAX_FILES: usize = 10_000;

/// Reads a file, or the `*.yaml` and `*.yml` files directly in a directory, in the order of their names.
///
/// Names that begin with a dot are skipped: editors and Kubernetes (`..data`) keep their own files under them.
///
/// # Errors
/// A [`Report`] of everything that could not be read. An empty directory is an error: a proxy that is told to
/// serve nothing was more likely told the wrong directory.
pub fn read_path(path: &Path) -> Result<Vec<Source>, Report> {
    let mut report = Report::default();
    let mut fail = |path: &Path, message: String, remedy: &str| {
        report.push(Problem {
            severity: Severity::Error,
            file: path.display().to_string(),
            line: 0,
            column: 0,
            path: String::new(),
            message,
            remedy: remedy.to_owned(),
        });
    };
    let files = match list(path) {
        Ok(files) if files.is_empty() => {
            fail(
                path,
                String::from("there is no *.yaml or *.yml file in this directory"),
                "give another path",
            );
            Vec::new()
        }
        Ok(files) if files.len() > MAX_FILES => {
            fail(
                path,
                format!("there are more than {MAX_FILES} files in this directory"),
                "give another path",
            );
            Vec::new()
        }
        Ok(files) => files,
        Err(error) => {
            fail(path, format!("cannot be read: {error}"), "check the path and its permissions");
            Vec::new()
        }
    };
    let mut sources = Vec::with_capacity(files.len());
    for file in files {
        match read(&file) {
            Ok(text) => sources.push(Source {
                name: file.display().to_string(),
                text,
                base: file.parent().map(Path::to_owned).unwrap_or_default(),
            }),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                fail(&file, error.to_string(), "save the file as UTF-8, at most 16 MiB");
            }
            Err(error) => {
                fail(&file, format!("cannot be read: {error}"), "check the file and its permissions")
            }
        }
    }
    report.sort();
    if report.is_empty() { Ok(sources) } else { Err(report) }
}

fn list(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let yaml = file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        let hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if yaml && !hidden && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// The bound is held while reading: the length of a pipe or a growing file is not known before.
fn read(file: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(file)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is larger than 16 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line} is not UTF-8"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(sources: &[Source]) -> Vec<&str> {
        sources.iter().map(|source| source.name.rsplit('/').next().unwrap()).collect()
    }

    #[test]
    fn a_directory_gives_its_yaml_files_by_name() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.yaml", "a.yml", "c.txt", ".hidden.yaml"] {
            fs::write(directory.path().join(name), name).unwrap();
        }
        fs::create_dir(directory.path().join("sub.yaml")).unwrap();
        let sources = read_path(directory.path()).unwrap();
        assert_eq!(names(&sources), ["a.yml", "b.yaml"]);
        assert_eq!((&*sources[1].text, &*sources[1].base), ("b.yaml", directory.path()));
    }

    #[test]
    fn a_file_is_read_whatever_its_name() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config");
        fs::write(&file, "x").unwrap();
        assert_eq!(names(&read_path(&file).unwrap()), ["config"]);
    }

    #[test]
    fn what_cannot_be_read_is_reported_file_by_file() {
        let directory = tempfile::tempdir().unwrap();
        assert!(read_path(directory.path()).unwrap_err().to_string().contains("no *.yaml"));
        assert!(
            read_path(&directory.path().join("none")).unwrap_err().to_string().contains("cannot be read")
        );
        fs::write(directory.path().join("a.yaml"), b"a: 1\nb: \xff\n").unwrap();
        fs::write(directory.path().join("b.yaml"), vec![b'#'; MAX_BYTES + 1]).unwrap();
        let report = read_path(directory.path()).unwrap_err();
        let messages: Vec<&str> = report.problems().map(|problem| &*problem.message).collect();
        assert_eq!(messages, ["line 2 is not UTF-8", "the file is larger than 16 MiB"]);
    }
}
