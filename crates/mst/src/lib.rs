//! What an AT Protocol commit changed: the records its operations name, and the Merkle search tree around them.
