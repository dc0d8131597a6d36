//! `requestMirror`: a copy for another service (Gateway API `HTTPRequestMirrorFilter`).

use serde::Serialize;

use crate::kind::route;
use crate::read::Fields;

/// Sends a copy of the request to one endpoint of another service and throws its answer away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestMirror {
    /// Name of the `MultiClusterService` that gets the copies.
    pub service: String,
    /// Which share of the requests is copied. Default all.
    pub share: Fraction,
}

/// A share in lowest terms, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fraction {
    /// Not above the denominator.
    pub numerator: u32,
    /// At least 1.
    pub denominator: u32,
}

impl Fraction {
    /// All.
    pub const ALL: Fraction = Fraction { numerator: 1, denominator: 1 };

    /// In lowest terms, so that `percent: 50` and a half are the same; `None` above 1 or over 0.
    fn of(numerator: u32, denominator: u32) -> Option<Fraction> {
        let (mut a, mut b) = (numerator, denominator);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        (denominator > 0 && numerator <= denominator)
            .then(|| Fraction { numerator: numerator / a, denominator: denominator / a })
    }

    /// As a number of 0 to 1.
    pub fn as_f64(self) -> f64 {
        f64::from(self.numerator) / f64::from(self.denominator)
    }
}

/// The numbers of a `Fraction` are Kubernetes' `int32`.
const MOST: u32 = i32::MAX as u32;

impl RequestMirror {
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let service = fields.need("backendRef", "name the MultiClusterService that gets the copies", |at| {
            let mut fields = at.fields()?;
            route::service_ref(&mut fields)
        });
        let percent =
            fields.get("percent", |at| at.u32(0..=100).and_then(|percent| Fraction::of(percent, 100)));
        let fraction = fields.get("fraction", |at| {
            let mut fields = at.fields()?;
            let numerator = fields.need("numerator", "write it, such as 1", |at| at.u32(0..=MOST));
            let denominator = fields.or("denominator", 100, |at| at.u32(1..=MOST));
            let share = Fraction::of(numerator?, denominator);
            if share.is_none() {
                let remedy = "write a numerator of at most the denominator (which is 100 by default)";
                fields.error_at("numerator", "this is more than all requests", remedy);
            }
            share
        });
        if fields.has("percent") && fields.has("fraction") {
            fields.error_at("fraction", "`percent` and `fraction` say the same", "keep one of the two");
        }
        let share = percent.or(fraction).unwrap_or(Fraction::ALL);
        if share.numerator == 0 {
            fields.at().warn("nothing is mirrored", "write a share above 0, or leave the filter out");
        }
        Some(RequestMirror { service: service?, share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_number_however_it_is_written() {
        assert_eq!(Fraction::of(50, 100), Fraction::of(1, 2));
        assert_eq!(Fraction::of(100, 100), Some(Fraction::ALL));
        assert_eq!(Fraction::of(0, 7), Fraction::of(0, 100));
        assert_eq!(Fraction::of(3, 1000).map(Fraction::as_f64), Some(0.003));
        assert_eq!((Fraction::of(2, 1), Fraction::of(0, 0)), (None, None));
    }
}
