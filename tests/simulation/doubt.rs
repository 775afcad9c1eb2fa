//! Operations that cannot be written down: what became of them is unknown, the group goes on as before, and a power loss
//! shows it (R33, N17).

use ::clone_group::ffi::types::*;

use super::life::Life;
use super::operator::Step;

impl Life {
    /// Now and then the operator asks for something, or leaves a copy onto the Source, that is not written down. Whether
    /// that came about.
    pub(super) fn operate_in_doubt(&mut self) -> bool {
        let onto_source = self.world.onto_source();
        let dice = self.rng.u32(..256);
        let step = match self.swarm.lasting.unwritten {
            unwritten if dice < unwritten / 8 => self.draw_step(),
            unwritten if dice < unwritten && onto_source != 0 => Step::Cancel(onto_source),
            _ => return false,
        };
        self.fail_to_write_down(step);
        true
    }

    /// The superblock fails, and may be there nevertheless; the group goes on, and power is lost.
    fn fail_to_write_down(&mut self, step: Step) {
        let Ok(tag) = self.ask(step) else { return };
        let are_there = self.rng.bool();
        self.world.fail_superblocks(are_there);
        self.ends_soon(tag, 200);
        self.world.choose_nothing();
        for _ in 0..self.rng.usize(..30) {
            let hosts = self.rng.usize(..4) == 0;
            self.busy_turn(hosts);
        }
        self.lose_power();
        self.calmly(Life::recover);
    }

    /// A copy onto the Source is left so while another Clone is as the Source was before, if there are two.
    pub(super) fn leave_in_doubt(&mut self) {
        let &[from, other, ..] = self.fractured().as_slice() else { return };
        for _ in 0..self.rng.usize(1..8) {
            self.host();
        }
        self.world.settle();
        for step in [Step::Synchronize(other), Step::Fracture(other)] {
            assert_eq!(step.run(&self.world), CLONE_GROUP_OK);
            self.world.settle();
        }
        let onto_source = if self.rng.bool() { Step::Restore(from) } else { Step::Reverse(from) };
        assert_eq!(onto_source.run(&self.world), CLONE_GROUP_OK);
        self.counts.count("copies left in doubt", 1);
        self.fail_to_write_down(Step::Cancel(from));
    }
}
