//! How durations, quantities, shares and host names are written. Text in, value or remedy out.

use std::net::IpAddr;
use std::time::Duration;

/// GEP-2257 (Gateway API durations): one to four of `h`, `m`, `s`, `ms`, each with one to five digits.
/// Held for every kind, so that one rule covers all files.
pub(crate) fn duration(text: &str) -> Result<Duration, &'static str> {
    const REMEDY: &str = "write it with units h, m, s or ms, such as 500ms, 30s or 1m30s";
    let mut rest = text;
    let mut total = Duration::ZERO;
    for part in 0.. {
        if rest.is_empty() && part > 0 {
            return Ok(total);
        }
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if part == 4 || !(1..=5).contains(&digits) {
            return Err(REMEDY);
        }
        let (number, tail) = rest.split_at(digits);
        let number: u64 = number.parse().map_err(|_| REMEDY)?;
        let unit = tail.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, tail) = tail.split_at(unit);
        total += match unit {
            "h" => Duration::from_secs(number * 3600),
            "m" => Duration::from_secs(number * 60),
            "s" => Duration::from_secs(number),
            "ms" => Duration::from_millis(number),
            _ => return Err(REMEDY),
        };
        rest = tail;
    }
    Err(REMEDY)
}

/// A Kubernetes quantity of whole units: `64Ki`, `1M`, `1000`.
pub(crate) fn bytes(text: &str) -> Result<u64, &'static str> {
    const REMEDY: &str = "write a whole number, with Ki, Mi, Gi, Ti or k, M, G, T if wanted, such as 64Ki";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| REMEDY)?;
    let unit: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1000_u64.pow(2),
        "G" => 1000_u64.pow(3),
        "T" => 1000_u64.pow(4),
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        _ => return Err(REMEDY),
    };
    number.checked_mul(unit).ok_or("write less than 16 Ei")
}

/// A Kubernetes CPU quantity in thousandths: `16`, `0.5`, `500m`.
pub(crate) fn cpu_millis(text: &str) -> Result<u64, &'static str> {
    const REMEDY: &str = "write CPUs, such as 16 or 0.5, or thousandths, such as 500m";
    let (whole, fraction) = match text.strip_suffix('m') {
        Some(millis) => return digits(millis).ok_or(REMEDY),
        None => text.split_once('.').unwrap_or((text, "0")),
    };
    if fraction.is_empty() || fraction.len() > 3 {
        return Err(REMEDY);
    }
    let scale = 10_u64.pow(3 - fraction.len() as u32);
    let millis = |whole: u64, fraction: u64| whole.checked_mul(1000)?.checked_add(fraction * scale);
    digits(whole).zip(digits(fraction)).and_then(|(whole, fraction)| millis(whole, fraction)).ok_or(REMEDY)
}

/// Decimal digits only: `u64::from_str` would take a sign.
pub(crate) fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// A finite decimal number: digits with a point, no sign, no exponent, no infinity.
pub(crate) fn decimal(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = plain.then(|| text.parse().ok()).flatten()?;
    number.is_finite().then_some(number)
}

/// A share, as `5%` or as a fraction `0.05`; 0 to 1.
pub(crate) fn share(text: &str) -> Result<f64, &'static str> {
    const REMEDY: &str = "write a percentage such as 5%, or a fraction such as 0.05";
    let share = match text.strip_suffix('%') {
        // Through thousandths, so that 5% is the very number that 0.05 is.
        Some(percent) => decimal(percent.trim_end()).map(|percent| percent * 1000.0 / 100_000.0),
        None => decimal(text),
    };
    share.filter(|share| (0.0..=1.0).contains(share)).ok_or(REMEDY)
}

/// RFC 1123 with the lengths of RFC 1035: labels of 1 to 63 letters, digits and inner hyphens, 253 in all.
/// Lower case comes back. What looks like an IPv4 address is none.
pub(crate) fn dns_name(text: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last_is_number =
        text.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    (text.len() <= 253 && !last_is_number && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}

/// `metadata.name` and section names: a DNS-1123 subdomain, lower case, which may look like a number.
pub(crate) fn is_object_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (1..=253).contains(&text.len()) && text.split('.').all(label)
}

/// RFC 9110 section 5.6.2: the name of a header, a method, a cookie.
pub(crate) fn is_token(text: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=256).contains(&text.len()) && text.bytes().all(token)
}

/// `host:port`, with `[...]` round an IPv6 address.
pub(crate) fn host_port(text: &str) -> Result<(Result<IpAddr, String>, u16), &'static str> {
    const REMEDY: &str = "write host:port, such as 10.0.0.1:8080, [fd00::1]:8080 or api.internal:8080";
    let (host, port) = text.rsplit_once(':').ok_or(REMEDY)?;
    let port = digits(port).and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    let port = port.ok_or("write a port of 1 to 65535 after the colon")?;
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match (bracketed, host.parse::<IpAddr>()) {
        (Some(inner), _) => Ok(IpAddr::V6(inner.parse().map_err(|_| REMEDY)?)),
        (None, Ok(IpAddr::V6(_))) => return Err("put brackets round an IPv6 address: [fd00::1]:8080"),
        (None, Ok(ip)) => Ok(ip),
        (None, Err(_)) => Err(dns_name(host).ok_or(REMEDY)?),
    };
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_gep_2257() {
        let millis = |text| duration(text).map(|value| value.as_millis());
        for (text, expected) in [
            ("0s", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("2h1m1s1ms", 7_261_001),
            ("1s1m", 61_000),
        ] {
            assert_eq!(millis(text), Ok(expected), "{text}");
        }
        for text in
            ["", "0", "30", "1.5s", "-1s", "+1s", "1d", "1 s", "s", "100000s", "1s1s1s1s1s", "1us", "é", "1é"]
        {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_they_are_read() {
        for text in ["0s", "500ms", "30s", "1m30s", "2h", "1h1m1s1ms"] {
            assert_eq!(crate::serialize::Text(duration(text).unwrap()).to_string(), text);
        }
    }

    #[test]
    fn quantities_have_binary_and_decimal_units() {
        for (text, expected) in
            [("0", 0), ("1000", 1000), ("64Ki", 65_536), ("64Gi", 64 << 30), ("1M", 1_000_000)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        for text in ["", "Ki", "-1", "1.5Gi", "64KiB", "64kb", "99999999999999Ti", "99999999999999999999"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn cpus_have_thousandths() {
        for (text, expected) in [("16", 16_000), ("0.5", 500), ("500m", 500), ("1.25", 1250)] {
            assert_eq!(cpu_millis(text), Ok(expected), "{text}");
        }
        for text in
            ["", "m", ".", "1.", ".5x", "-1", "+1m", "1.2345", "99999999999999999999", "18446744073709551615"]
        {
            assert!(cpu_millis(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_percentage_and_its_fraction_are_the_same_number() {
        for (percent, fraction) in
            [("5%", "0.05"), ("0.1%", "0.001"), ("7 %", "0.07"), ("100%", "1"), ("29%", "0.29")]
        {
            assert_eq!(share(percent), share(fraction), "{percent}");
        }
        for text in ["5", "101%", "-1%", "1e-2", "NaN", "inf", "%", "", "1.0.0"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[test]
    fn hosts_are_names_or_addresses() {
        assert_eq!(host_port("10.0.0.1:80"), Ok((Ok([10, 0, 0, 1].into()), 80)));
        assert_eq!(host_port("[::1]:80"), Ok((Ok(IpAddr::V6(1.into())), 80)));
        assert_eq!(host_port("API.internal:80"), Ok((Err("api.internal".into()), 80)));
        for text in [
            "",
            "a",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            ":80",
            "::1:80",
            "[::1]",
            "[a]:80",
            "300.0.0.1:80",
            "a b:80",
            "-a:80",
        ] {
            assert!(host_port(text).is_err(), "{text}");
        }
    }

    #[test]
    fn object_names_are_lower_case_labels() {
        for text in ["a", "api-gateway", "a.b", "1"] {
            assert!(is_object_name(text), "{text}");
        }
        for text in ["", "A", "a_b", "-a", "a-", "a..b", "ä", &"a".repeat(254)] {
            assert!(!is_object_name(text), "{text}");
        }
    }
}
