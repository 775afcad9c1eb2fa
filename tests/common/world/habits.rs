//! What the controller and its hosts are like, besides the profile.

use super::World;

/// All of it off, as tests of single rules want it.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// Host requests and operations at a time.
    pub requests_max: u32,
    pub page_writes_max: u32,
    /// Of 256: I/Os that are done, and whose completion is reported before their callback returns.
    pub early: u32,
    /// Of 65536: I/Os that hang for a long time.
    pub hangs: u32,
    /// Of 256: I/Os of LUs that take their time.
    pub slow: u32,
    /// Of 256: callbacks in which a host sends a request.
    pub reenters: u32,
    /// Hosts write what they are writing already.
    pub overlaps: bool,
    /// Of 256: host writes whose payload changes until they are done.
    pub unstable: u32,
    /// Of 256: completions after which an I/O that is over is completed once more.
    pub repeats: u32,
    /// Of 256: failures that are reported with a number that is no status.
    pub nonsense: u32,
    /// I/Os are not kept for the test to look at.
    pub forgets: bool,
}

impl Default for Habits {
    fn default() -> Habits {
        Habits {
            requests_max: 16,
            page_writes_max: 2,
            early: 0,
            hangs: 0,
            slow: 0,
            reenters: 0,
            overlaps: false,
            unstable: 0,
            repeats: 0,
            nonsense: 0,
            forgets: false,
        }
    }
}

/// What a host does from inside a callback.
pub type Reenter = Box<dyn FnMut(&World)>;

impl World {
    /// From now on hosts act inside callbacks, too, as often as the habits say.
    pub fn act_inside_callbacks(&self, act: impl FnMut(&World) + 'static) {
        *self.reenter.borrow_mut() = Some(Box::new(act));
    }

    /// A callback is about to return.
    pub(super) fn reenter(&self) {
        {
            let inner = &mut *self.inner.borrow_mut();
            let off = inner.steps >= inner.power_fails_at || inner.flush_unheard;
            if off || inner.habits.reenters == 0 || inner.rng.u32(..256) >= inner.habits.reenters {
                return;
            }
        }
        // Not inside one that comes of it.
        let Some(mut act) = self.reenter.borrow_mut().take() else { return };
        act(self);
        *self.reenter.borrow_mut() = Some(act);
    }
}
