//! Collections that Lua itself would begin too late.
//!
//! What has a finalizer outlives the collection that finds it dead, and counts as alive when Lua decides how much may be allocated
//! before the next one begins. Where hardly anything else is garbage (a loop over messages, futures or channels), the heap of a
//! process that holds next to nothing grows to hundreds of megabytes. So whoever holds several times what was left by the last
//! collection of this kind is collected until what it has lost is really gone: with a large heap over several steps, since a
//! collection cannot be interrupted.

use std::ffi::c_int;

use super::Driver;
use super::raw::*;

/// How many times what was left a state may hold, and how many bytes beyond: what lives by Lua's own count grows to twice as
/// much between collections.
const TIMES: usize = 4;
const BEYOND: usize = 1 << 20;

/// Up to so many bytes a state is collected at once.
const AT_ONCE: usize = 8 << 20;

/// What a larger one is advanced by with each step, as if so many KiB had been allocated.
const PACE: c_int = 8 << 10;

/// Collections until what had a finalizer is freed: one finds it, the next one frees it.
const ROUNDS: u8 = 2;

/// When a state is collected.
pub struct Tidying {
    /// Bytes of the state from which on.
    at: usize,
    /// Collections that have ended since then.
    rounds: u8,
}

impl Default for Tidying {
    fn default() -> Tidying {
        Tidying { at: BEYOND, rounds: 0 }
    }
}

impl Driver {
    /// Collects if it is time for it. Nothing of the state runs.
    pub(super) fn tidy(&mut self) {
        let held = self.memory.held();
        if held >= self.tidying.at {
            // What panics in there is noted.
            let _ = self.lifted(|driver| driver.tidy_up(held));
        }
    }

    fn tidy_up(&mut self, held: usize) {
        // SAFETY: a collection runs no Lua code (there are no finalizers of the user's) and does not raise.
        unsafe {
            if held > AT_ONCE {
                self.tidying.rounds += u8::from(lua_gc(self.main_state, LUA_GCSTEP, PACE) != 0);
                if self.tidying.rounds < ROUNDS {
                    return;
                }
            } else {
                for _ in 0..ROUNDS {
                    lua_gc(self.main_state, LUA_GCCOLLECT);
                }
            }
        }
        self.tidying = Tidying {
            at: self.memory.held() * TIMES + BEYOND,
            rounds: 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use crate::lua::test_support::World;

    #[test]
    fn garbage_that_has_finalizers_does_not_pile_up() {
        let world = World::new();
        for (lives, most) in [(0, 2_000), (200_000, 66_000)] {
            let exit = world.run(&format!(
                "local kept, most = {{}}, 0
                for i = 1, {lives} do kept[i] = {{ i }} end
                for i = 1, 300 do
                    for _ = 1, 1000 do channel.new() end
                    most = math.max(most, collectgarbage('count'))
                    time.sleep('1us')
                end
                assert(most < {most}, most)"
            ));
            assert!(exit.result.is_ok(), "{exit:?}");
        }
    }
}
