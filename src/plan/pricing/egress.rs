//! The price of sending bytes out of the store, by steps.

use serde::Deserialize;

use super::usd::{GB, Price, Usd};

/// The price of bytes that leave the store, by steps. Each step applies to the bytes beyond the step before
/// it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<EgressStep>")]
pub struct Egress(Vec<EgressStep>);

/// A step of [`Egress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EgressStep {
    /// The end of the step, in GB counted from the start of a month; `None` for the last step.
    pub up_to_gb: Option<u64>,
    /// Price of each GB within the step.
    pub per_gb: Price,
}

/// The steps do not give every byte exactly one price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("each step but the last has an `up_to_gb`, greater than that of the step before it")]
pub struct UnfitSteps;

impl Egress {
    /// Checks that the steps go up, the last without an end.
    pub fn new(steps: Vec<EgressStep>) -> Result<Self, UnfitSteps> {
        let (last, before) = steps.split_last().ok_or(UnfitSteps)?;
        let ends: Option<Vec<u64>> = before.iter().map(|step| step.up_to_gb).collect();
        let go_up = ends.is_some_and(|ends| ends.is_sorted_by(|a, b| a < b));
        if go_up && last.up_to_gb.is_none() {
            Ok(Self(steps))
        } else {
            Err(UnfitSteps)
        }
    }

    /// What that many bytes cost in a month in which nothing else is sent.
    pub fn of_bytes(&self, bytes: u64) -> Usd {
        let mut start = 0;
        let cost = |step: &EgressStep| {
            let end = step.up_to_gb.map_or(u64::MAX, |end| end.saturating_mul(GB));
            let within = bytes.min(end).saturating_sub(start);
            start = end;
            step.per_gb.of_bytes(within)
        };
        self.0.iter().map(cost).sum()
    }

    /// Returns how many GB of a month are free; `None` if all or none are.
    pub fn free_gb(&self) -> Option<u64> {
        let free = self
            .0
            .iter()
            .take_while(|step| step.per_gb == Price::default());
        free.last().and_then(|step| step.up_to_gb)
    }
}

impl TryFrom<Vec<EgressStep>> for Egress {
    type Error = UnfitSteps;

    fn try_from(steps: Vec<EgressStep>) -> Result<Self, UnfitSteps> {
        Self::new(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::super::prices::Prices;
    use super::*;

    fn price(usd: f64) -> Price {
        Price::try_from(usd).unwrap()
    }

    #[test]
    fn egress_costs_by_steps_each_for_what_goes_beyond_the_one_before() {
        let egress = Prices::built_in().egress;
        for (bytes, usd) in [
            (0, "0.00"),
            (100 * GB, "0.00"),
            // a byte more: less than a cent, but not nothing
            (100 * GB + 1, "0.01"),
            // 1 × 0.09
            (101 * GB, "0.09"),
            // (1024 − 100) × 0.09
            (1024 * GB, "83.16"),
            // (10240 − 100) × 0.09
            (10_240 * GB, "912.60"),
            // and 1 × 0.085, rounded up
            (10_241 * GB, "912.69"),
            // 912.60 + 40960 × 0.085
            (51_200 * GB, "4394.20"),
            // 4394.20 + 102400 × 0.07
            (153_600 * GB, "11562.20"),
            // 11562.20 + 1000 × 0.05
            (154_600 * GB, "11612.20"),
        ] {
            assert_eq!(egress.of_bytes(bytes).to_string(), usd, "{bytes}");
        }
        assert_eq!(egress.free_gb(), Some(100));
    }

    #[test]
    fn steps_that_leave_a_price_open_are_refused() {
        let step = |up_to_gb: Option<u64>| EgressStep {
            up_to_gb,
            per_gb: price(0.09),
        };
        for (ends, is_fit) in [
            (vec![None], true),
            (vec![Some(1), None], true),
            (vec![Some(1), Some(2), None], true),
            (vec![], false),
            (vec![Some(1)], false),
            (vec![None, None], false),
            (vec![Some(1), None, Some(2)], false),
            (vec![Some(2), Some(1), None], false),
            (vec![Some(1), Some(1), None], false),
        ] {
            let steps = ends.iter().copied().map(step).collect();
            assert_eq!(Egress::new(steps).is_ok(), is_fit, "{ends:?}");
        }
    }

    #[test]
    fn free_egress_is_told_only_where_it_has_an_end() {
        let free = |steps: &[(Option<u64>, f64)]| {
            let steps = steps.iter().map(|(up_to_gb, usd)| EgressStep {
                up_to_gb: *up_to_gb,
                per_gb: price(*usd),
            });
            let egress = Egress::new(steps.collect()).unwrap();
            egress.free_gb()
        };
        assert_eq!(free(&[(Some(100), 0.0), (None, 0.09)]), Some(100));
        assert_eq!(
            free(&[(Some(1), 0.0), (Some(9), 0.0), (None, 1.0)]),
            Some(9)
        );
        assert_eq!(free(&[(Some(100), 0.01), (None, 0.0)]), None);
        assert_eq!(free(&[(None, 0.0)]), None);
    }
}
