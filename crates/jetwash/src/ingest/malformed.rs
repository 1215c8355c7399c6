use jetwash_client::Malformed;

/// A short name of the reason why a message of a Jetstream is no event, for a counter's label: one
/// of a fixed few.
pub(crate) const fn malformed_reason(malformed: Malformed) -> &'static str {
    match malformed {
        Malformed::TooLarge => "message_too_large",
        Malformed::Compression => "message_compression",
        Malformed::Utf8 => "message_utf8",
        Malformed::Json => "message_json",
        Malformed::Did => "did_invalid",
        Malformed::Time => "time_invalid",
        Malformed::Revision => "rev_invalid",
        Malformed::Collection => "op_collection_invalid",
        Malformed::RecordKey => "op_rkey_invalid",
        Malformed::Cid => "op_cid_invalid",
        Malformed::Operation => "op_action_unknown",
        Malformed::OtherAccount => "message_other_account",
        _ => "message_malformed",
    }
}
