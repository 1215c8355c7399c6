use std::sync::{Mutex, PoisonError};

/// A value of which one side sets the latest, and the other asks for it.
#[derive(Default)]
pub(crate) struct Latest<T>(Mutex<T>);

impl<T: Copy> Latest<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn get(&self) -> T {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }
}
