//! What goes wrong.

use std::time::Duration;

use tidegate_admission::credits::Grantor;
use tidegate_admission::{Limit, QueueSettings};

use super::World;
use crate::network::Event;

impl World {
    /// A stream breaks: each end learns it when it does.
    pub(super) fn cut(&mut self, door: usize, instance: usize) {
        if let Some(stream) = self.doors[door].streams[instance] {
            let wait = self.chance.up_to(Duration::from_millis(30));
            self.agenda.after(wait, Event::CutAtDoor { door, instance, stream });
        }
        let open = self.instances[instance].streams.iter().filter(|(_, (of, _))| *of == door);
        let open: Vec<_> = open.map(|(stream, _)| *stream).collect();
        for stream in open {
            let wait = self.chance.up_to(Duration::from_millis(30));
            self.agenda.after(wait, Event::CutAtInstance { instance, stream });
        }
    }

    pub(super) fn trouble(&mut self, which: usize) {
        let (door, instance) =
            (which / 7 % self.furnishing.doors, which / 77 % self.furnishing.instances);
        match which % 7 {
            0 if self.living() > 1 => self.kill(door),
            1 => {
                let limit = 1 + u32::try_from(which / 777 % 4).unwrap();
                let grown = limit > self.instances[instance].limit;
                // What is inside beyond a limit that shrinks may finish.
                if grown || self.instances[instance].inside <= limit {
                    self.instances[instance].limit = limit;
                    self.instances[instance].grantor.resize(Limit::from_wire(limit));
                    self.settle(instance);
                }
            }
            2 => self.restart(instance),
            _ => self.cut(door, instance),
        }
    }

    fn living(&self) -> usize {
        self.doors.iter().filter(|door| !door.is_dead).count()
    }

    /// A door dies: its streams break, what waits there is lost, what is inside goes on.
    fn kill(&mut self, at: usize) {
        self.doors[at].is_dead = true;
        self.counted.lost += self.doors[at].waiting.len() as u64;
        for request in std::mem::take(&mut self.doors[at].waiting).into_values() {
            self.requests[request].is_done = true;
        }
        for instance in 0..self.furnishing.instances {
            self.cut(at, instance);
        }
    }

    /// An instance dies with all that it has, and another begins in its place.
    fn restart(&mut self, at: usize) {
        for door in 0..self.furnishing.doors {
            self.cut(door, at);
        }
        let lost = self.requests.iter().enumerate().filter(|(_, request)| {
            !request.is_done && request.sent.is_some_and(|(instance, _)| instance == at)
        });
        let lost: Vec<_> = lost.map(|(nth, _)| nth).collect();
        let instance = &mut self.instances[at];
        let limit = Limit::from_wire(instance.limit);
        instance.grantor = Grantor::new(limit, QueueSettings::KNATIVE);
        instance.life += 1;
        instance.inside = 0;
        instance.streams.clear();
        let line = std::mem::take(&mut instance.line);
        for request in lost {
            let was_here = self.requests[request].began.is_some()
                || line.values().any(|waiting| *waiting == request);
            if was_here {
                self.answer(request);
            }
        }
    }
}
