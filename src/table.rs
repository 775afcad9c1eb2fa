#![forbid(unsafe_code)]
//! Fixed tables and rings over memory of the workspace, without a panic path.

use core::ops::{Index, IndexMut};

use crate::geometry::{index, slot};

/// Slots of one kind. An index that is out of range, which would be a defect, finds a spare slot
/// instead of a panic.
pub struct Table<'a, T> {
    slots: &'a mut [T],
    spare: T,
}

impl<'a, T: Default> Table<'a, T> {
    /// A table over these slots.
    pub fn new(slots: &'a mut [T]) -> Table<'a, T> {
        Table { slots, spare: T::default() }
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Every slot with its number.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &T)> {
        self.slots.iter().enumerate().map(|(number, value)| (slot(number), value))
    }

    /// Every slot with its number, to change.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u16, &mut T)> {
        self.slots.iter_mut().enumerate().map(|(number, value)| (slot(number), value))
    }
}

impl<T> Index<u64> for Table<'_, T> {
    type Output = T;
    fn index(&self, at: u64) -> &T {
        self.slots.get(index(at)).unwrap_or(&self.spare)
    }
}

impl<T> IndexMut<u64> for Table<'_, T> {
    fn index_mut(&mut self, at: u64) -> &mut T {
        match self.slots.get_mut(index(at)) {
            Some(value) => value,
            None => &mut self.spare,
        }
    }
}

impl<T> Index<u16> for Table<'_, T> {
    type Output = T;
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn index(&self, at: u16) -> &T {
        self.slots.get(usize::from(at)).unwrap_or(&self.spare)
    }
}

impl<T> IndexMut<u16> for Table<'_, T> {
    #[cfg_attr(not(feature = "std"), inline(never))]
    fn index_mut(&mut self, at: u16) -> &mut T {
        match self.slots.get_mut(usize::from(at)) {
            Some(value) => value,
            None => &mut self.spare,
        }
    }
}

/// A bounded queue.
pub struct Ring<'a, T> {
    slots: &'a mut [T],
    head: usize,
    len: usize,
}

impl<'a, T: Copy> Ring<'a, T> {
    /// An empty queue over these slots.
    pub fn new(slots: &'a mut [T]) -> Ring<'a, T> {
        Ring { slots, head: 0, len: 0 }
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether none is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many more fit.
    pub fn free(&self) -> usize {
        self.slots.len().saturating_sub(self.len)
    }

    /// Puts one at the end. False if it is full.
    pub fn push(&mut self, value: T) -> bool {
        if self.free() == 0 {
            return false;
        }
        let at = self.wrapped(self.head.wrapping_add(self.len));
        if let Some(place) = self.slots.get_mut(at) {
            *place = value;
            self.len = self.len.wrapping_add(1);
        }
        true
    }

    /// Puts one before all others. False if it is full.
    pub fn push_front(&mut self, value: T) -> bool {
        if self.free() == 0 {
            return false;
        }
        let at = self.wrapped(self.head.wrapping_add(self.slots.len()).wrapping_sub(1));
        if let Some(place) = self.slots.get_mut(at) {
            *place = value;
            self.head = at;
            self.len = self.len.wrapping_add(1);
        }
        true
    }

    /// Takes the first one.
    pub fn pop(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let value = self.slots.get(self.head).copied()?;
        self.head = self.wrapped(self.head.wrapping_add(1));
        self.len = self.len.wrapping_sub(1);
        Some(value)
    }

    fn wrapped(&self, at: usize) -> usize {
        if at >= self.slots.len() { at.wrapping_sub(self.slots.len()) } else { at }
    }
}
