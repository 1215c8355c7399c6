use jetwash_event::Kind;
use jetwash_store::EventKind;

/// The kind of an event, as filters know it.
pub(super) const fn kind_of(kind: EventKind) -> Kind {
    match kind {
        EventKind::Identity => Kind::Identity,
        EventKind::Account => Kind::Account,
        EventKind::Sync => Kind::Sync,
        _ => Kind::Commit,
    }
}
