use std::error::Error;

use jetwash::Dictionary;
use jetwash::dict::Trainer;
use jetwash::event::BinaryEncoder;

/// The dictionaries of the two forms that an event has.
pub(crate) struct Dictionaries {
    pub(crate) json: Dictionary,
    pub(crate) binary: Dictionary,
}

pub(crate) fn train(lines: &[String]) -> Result<Dictionaries, Box<dyn Error>> {
    let trainer = || {
        let mut trainer = Trainer::new();
        lines.iter().for_each(|line| trainer.add(line));
        trainer
    };
    let json = trainer().train(None)?;
    let mut encoder = BinaryEncoder::new();
    let form = |line: &str| {
        let mut event = Vec::new();
        encoder
            .encode_changed(line, &mut event)
            .ok()
            .map(|()| event)
    };
    let binary = trainer().train_with(None, form, |_| {})?;
    for (name, trained) in [("JSON", &json), ("binary", &binary)] {
        let dictionary = trained.dictionary();
        println!(
            "{name} dictionary {}: {} bytes, trained on {} of {} events, held out: {}",
            dictionary.id(),
            dictionary.bytes().len(),
            trained.samples(),
            lines.len(),
            trained.held_out(),
        );
    }
    Ok(Dictionaries {
        json: json.dictionary().clone(),
        binary: binary.dictionary().clone(),
    })
}
