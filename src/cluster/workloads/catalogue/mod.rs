//! The catalogue: kinds of well-known projects that name images, with where their objects do so.
//!
//! A row is only here if somebody has read the definition of the kind, and says where. `objects.yaml` has an object for
//! each, with which the tests show that every path leads to its image. The chart grants the permissions
//! (`files/in-use-catalogue.yaml`), `docs/in-use.md` has the table.

mod batch;
mod delivery;
mod row;
mod services;

use super::custom::{CustomWorkload, CustomWorkloadError};
pub use row::CatalogueKind;

/// All kinds of the catalogue.
pub fn catalogue() -> impl Iterator<Item = &'static CatalogueKind> {
    [delivery::KINDS, batch::KINDS, services::KINDS].into_iter().flatten()
}

/// What is to be read besides the kinds of Kubernetes itself: what configuration names, and the kinds of the catalogue
/// that it does not name.
///
/// # Errors
/// None that is known: the tests read each row.
pub fn and_catalogue(mut named: Vec<CustomWorkload>) -> Result<Vec<CustomWorkload>, CustomWorkloadError> {
    let rows = catalogue().map(CatalogueKind::workload).collect::<Result<Vec<_>, _>>()?;
    let more: Vec<_> = rows.into_iter().filter(|row| !named.iter().any(|named| named.is_same_kind(row))).collect();
    named.extend(more);
    Ok(named)
}

/// What gaps and lists call the kinds of the catalogue that configuration does not name.
#[must_use]
pub fn labels_besides(named: &[CustomWorkload]) -> Vec<String> {
    let besides =
        catalogue().filter(|row| !named.iter().any(|named| (named.group(), named.kind()) == (row.group, row.kind)));
    besides.filter_map(|row| row.workload().ok()).map(|workload| workload.label()).collect()
}

#[cfg(test)]
mod tests;
