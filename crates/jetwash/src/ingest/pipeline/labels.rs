//! Takes in the frames of labelers, for a log of labels.

use jetwash_event::{Did, Kind, LabelDraft, Labels, Micros, write_label};
use jetwash_frame::{LabelFrame, LabelsMessage};
use jetwash_store::{CommitPart, EventKind};

use crate::ingest::numbering::Place;
use crate::ingest::pipeline::Pipeline;
use crate::ingest::pipeline::fault::{Fault, Stop};
use crate::ingest::pipeline::labelers::Labelers;
use crate::labels::draft_of;

impl Pipeline {
    /// Takes frames of labelers alone: those of other sources are dropped. Their labels go into the log
    /// and the index.
    pub(crate) fn labelers(mut self, dids: Vec<(String, Did)>, index: Option<Labels>) -> Self {
        self.labelers = Some(Labelers { dids, index });
        self
    }

    /// Takes in a frame of the labeler at hand.
    pub(super) fn label_frame(&mut self, bytes: &[u8], now_us: Micros) -> Result<(), Stop> {
        match LabelFrame::decode(bytes).map_err(Fault::LabelFrame)? {
            LabelFrame::Labels(message) => return self.labels_frame(&message, now_us),
            LabelFrame::Unknown(_) => self.stats.ignored(),
            LabelFrame::Error(error) => self.error_frame(&error),
            LabelFrame::Info(info) => self.info_frame(&info),
        }
        Ok(())
    }

    /// Takes in labels. A label that cannot be used costs only itself.
    fn labels_frame(&mut self, message: &LabelsMessage<'_>, now_us: Micros) -> Result<(), Stop> {
        let source = &*self.sources[self.current].name;
        let known = self.labelers.as_ref();
        let known = known.and_then(|labelers| labelers.of(source));
        let (did, index) = known.ok_or(Fault::NotLabeler)?;
        for label in message.labels() {
            let taken = draft_of(label, &did).map_err(|fault| Fault::Label(fault).into());
            match taken.and_then(|draft| self.label(&draft, index.as_ref(), now_us)) {
                Err(Stop::Fault(fault)) => {
                    self.lose(fault.reason(), &fault, (Some(message.seq), None));
                }
                taken => taken?,
            }
        }
        Ok(())
    }

    /// Appends a label, unless it is one that was sent again.
    fn label(
        &mut self,
        label: &LabelDraft<'_>,
        index: Option<&Labels>,
        now_us: Micros,
    ) -> Result<(), Stop> {
        let is_known = match self.place {
            Place::Next | Place::First => false,
            Place::Again => true,
            // The number says nothing certain, so the label has to.
            _ => index.is_some_and(|index| index.knows(label)),
        };
        let checked = match index {
            Some(index) => index.apply(label).map(drop),
            None => label.check(),
        };
        checked.map_err(|error| Fault::Label(error.into()))?;
        if is_known {
            self.repeated();
            return Ok(());
        }
        if !self.filter.matches(Kind::Label, label.src, None) {
            self.stats.rejected();
            return Ok(());
        }
        // The time is part of the line, so it is fixed before; no two events share one.
        let time_us = self.appender.next_time_us(now_us);
        self.line.clear();
        write_label(label, time_us, &mut self.line);
        self.push_event(
            EventKind::Label,
            (label.src, ""),
            CommitPart::WHOLE,
            time_us,
        )
        .map(drop)
    }
}
