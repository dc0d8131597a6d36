//! What is wrong, all of it at once: where, what, and what to do about it.

use std::fmt;

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is loaded.
    Error,
    /// It is loaded, but can hardly be meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// One mistake at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Whether it stops the load.
    pub severity: Severity,
    /// The file as [`Source::name`](crate::Source::name) gives it.
    pub file: String,
    /// From 1; 0 where the whole file is meant.
    pub line: u32,
    /// From 1, in characters; 0 where the whole file is meant.
    pub column: u32,
    /// The way to the value, such as `MultiClusterService/api: spec.clusters[1].weight`. May be empty.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}: ", self.severity)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        write!(f, "{}\n  remedy: {}", self.message, self.remedy)
    }
}

/// Past this many problems a report only counts: a file of a million mistakes must not fill the memory.
const MOST: usize = 10_000;

/// All problems of a load, by file, line and column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Problem>,
    /// Problems past [`MOST`], errors and warnings.
    dropped: (usize, usize),
}

impl Report {
    /// All problems, by file, line and column.
    pub fn problems(&self) -> impl ExactSizeIterator<Item = &Problem> {
        self.problems.iter()
    }

    /// How many errors there are, those past the report's bound included.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error) + self.dropped.0
    }

    /// How many warnings there are, those past the report's bound included.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning) + self.dropped.1
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.errors() + self.warnings() == 0
    }

    /// Whether further problems are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.problems.len() >= MOST
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems.iter().filter(|problem| problem.severity == severity).count()
    }

    pub(crate) fn push(&mut self, problem: Problem) {
        if !self.is_full() {
            self.problems.push(problem);
        } else if problem.severity == Severity::Error {
            self.dropped.0 += 1;
        } else {
            self.dropped.1 += 1;
        }
    }

    pub(crate) fn sort(&mut self) {
        self.problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            problem.fmt(f)?;
        }
        match self.dropped.0 + self.dropped.1 {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more"),
        }
    }
}

impl std::error::Error for Report {}
