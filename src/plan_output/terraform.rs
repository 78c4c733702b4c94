//! The numbers of a plan as GitLab shows them in a merge request: a report of Terraform, of which GitLab reads no more
//! than how many things would be created, changed and deleted.
//!
//! GitLab behaviour: a report that lacks one of the three keys is shown as one that failed.
//! <https://docs.gitlab.com/ci/yaml/artifacts_reports/#artifactsreportsterraform>

use serde::Serialize;

use super::Listing;

#[derive(Serialize)]
struct Report {
    create: u64,
    update: u64,
    delete: u64,
}

/// The report, with the number of tags that the rules remove: `remove` of the JSON's totals.
///
/// # Errors
/// None that is known; the serializer could have one.
pub fn report(listing: &Listing) -> Result<String, serde_json::Error> {
    let report = Report { create: 0, update: 0, delete: listing.totals.remove };
    Ok(serde_json::to_string(&report)? + "\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{about, listing};
    use super::super::{Listing, Retain};
    use super::*;

    #[test]
    fn the_report_has_the_three_keys_and_the_number_of_the_json() {
        for all in [listing(about(&json!({})), Retain::Everything), Listing::new(about(&json!({})))] {
            let text = report(&all).unwrap();
            let shape = serde_json::to_value(&all).unwrap();
            let expected = json!({"create": 0, "update": 0, "delete": shape["totals"]["remove"]});
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
        }
        let text = report(&listing(about(&json!({})), Retain::Everything)).unwrap();
        assert_eq!(text, "{\"create\":0,\"update\":0,\"delete\":2}\n");
    }
}
