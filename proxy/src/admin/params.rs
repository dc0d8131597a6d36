//! Percent-decoding, query parameters and durations.

use std::time::Duration;

/// Decodes `%XX` (RFC 3986 section 2.1). A plus sign is a plus sign: keys are often base64, and this is a URL, not
/// a form. `None`: a percent sign without two hexadecimal digits.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = match first {
            b'%' => {
                let (digits, behind) = behind.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
                out.push(u8::from_str_radix(digits, 16).ok()?);
                behind
            }
            _ => {
                out.push(first);
                behind
            }
        };
    }
    Some(out)
}

/// [`decode`] to text.
pub(super) fn decode_text(text: &str) -> Option<String> {
    String::from_utf8(decode(text)?).ok()
}

/// The parameters of a query; what is not asked for is an error, so that a misspelt one is not silently ignored.
pub(super) struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Splits and decodes; at most 64 parameters, and only the `known` ones.
    pub fn parse(query: Option<&str>, known: &[&str]) -> Result<Query, String> {
        let mut all = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let broken = || format!("`{pair}` has a percent sign without two hexadecimal digits behind it");
            let name = decode_text(name).ok_or_else(broken)?;
            if !known.contains(&name.as_str()) {
                return Err(match known {
                    [] => format!("there is no parameter here, and no `{name}`"),
                    _ => format!("there is no parameter `{name}` here, only: {}", known.join(", ")),
                });
            }
            all.push((name, decode(value).ok_or_else(broken)?));
            if all.len() > 64 {
                return Err("too many parameters".to_owned());
            }
        }
        Ok(Query(all))
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> Vec<Vec<u8>> {
        self.0.iter().filter(|(n, _)| n == name).map(|(_, value)| value.clone()).collect()
    }

    /// The value of a parameter that may be there once, as text.
    pub fn one(&self, name: &str) -> Result<Option<String>, String> {
        match self.all(name).as_mut_slice() {
            [] => Ok(None),
            [value] => match String::from_utf8(std::mem::take(value)) {
                Ok(text) => Ok(Some(text)),
                Err(_) => Err(format!("`{name}` is not UTF-8")),
            },
            _ => Err(format!("`{name}` is given more than once")),
        }
    }

    /// Whether a parameter is there, with no value or `true`.
    pub fn flag(&self, name: &str) -> Result<bool, String> {
        match self.one(name)?.as_deref() {
            None | Some("false") => Ok(false),
            Some("" | "true") => Ok(true),
            Some(other) => Err(format!("`{name}` is `{other}`: leave the value out, or say true or false")),
        }
    }
}

/// `250ms`, `30s`, `5m`, `1h`: a whole number and a unit.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percent_sign_needs_its_digits_and_a_plus_is_a_plus() {
        assert_eq!(decode("a%20b+c%2F%ff").unwrap(), b"a b+c/\xff");
        for bad in ["%", "%1", "%zz", "%+1", "a%2"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert_eq!(decode_text("%ff"), None);
    }

    #[test]
    fn a_misspelt_or_repeated_parameter_is_an_error() {
        let known = ["for", "full"];
        assert!(Query::parse(Some("fro=30s"), &known).is_err_and(|e| e.contains("only: for, full")));
        assert!(Query::parse(Some("x"), &[]).is_err());
        let query = Query::parse(Some("for=1s&for=2s&full"), &known).unwrap();
        assert!(query.one("for").is_err());
        assert_eq!(query.all("for"), [b"1s", b"2s"]);
        assert_eq!(query.flag("full"), Ok(true));
        assert_eq!(Query::parse(Some("full=false"), &known).unwrap().flag("full"), Ok(false));
        assert!(Query::parse(Some("full=maybe"), &known).unwrap().flag("full").is_err());
        assert!(Query::parse(None, &known).unwrap().one("for").unwrap().is_none());
        assert!(Query::parse(Some(&"for&".repeat(65)), &known).is_err());
    }

    #[test]
    fn durations_have_a_unit_and_do_not_overflow() {
        assert_eq!(duration("30s"), Some(Duration::from_secs(30)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7200)));
        for bad in ["", "30", "s", "-1s", "1.5s", "1d", "1 s", "18446744073709551615h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
