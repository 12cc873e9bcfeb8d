//! What the owner of the services asks of them, and how they end.

use std::io;
use std::net::SocketAddr;

use tidegate_activator::Drained;
use tidegate_controller::{Ended, Handle};
use tidegate_services::Services;
use tokio::time::Instant;

use super::Platform;
use super::view::PlatformView;
use crate::operate::{Roster, Socket};

impl Platform {
    /// The services that this user's commands can ask and order.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.engine.roster
    }

    /// Why `tidegate ps` and the like cannot ask these services, if so.
    #[must_use]
    pub fn unreachable(&self) -> Option<&io::Error> {
        self.engine.socket.as_ref().err()
    }

    /// Takes over the socket, which otherwise closes with [`Platform::finish`]: an order to stop is
    /// answered after that.
    pub fn take_socket(&mut self) -> Option<Socket> {
        self.engine.take_socket()
    }

    /// Where clients of all services connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.engine.addresses.http
    }

    /// Where they connect over TLS, if they can.
    #[must_use]
    pub fn tls_address(&self) -> Option<SocketAddr> {
        self.engine.addresses.tls
    }

    /// Where the controller serves `tidegate explain`.
    #[must_use]
    pub fn controller(&self) -> SocketAddr {
        self.engine.controller
    }

    /// Why `tidegate explain` cannot discover these services, if so.
    #[must_use]
    pub fn unannounced(&self) -> Option<&io::Error> {
        self.engine.announced.as_ref().err()
    }

    /// What the file says that is followed.
    #[must_use]
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// A handle for how the services stand, usable while they drain.
    #[must_use]
    pub fn view(&self) -> PlatformView {
        self.shared.view()
    }

    /// The controller of all services.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.engine.handle
    }

    /// Accepts no more requests, and waits for those in flight, but not beyond `by`. Cancel safe.
    pub async fn finish_requests(&mut self, by: Instant) -> Drained {
        self.builds.abort_all();
        self.doors.clear();
        self.engine.finish_requests(by).await
    }

    /// Stops every instance. What an instance still works on after `by` is cut off; its app then
    /// has its own time to end. Cancel safe.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn stop_instances(&mut self, by: Instant) -> Result<(), Ended> {
        self.engine.stop_instances(by, self.stop_deadline).await
    }

    /// Kills every instance at once, with the requests that it serves.
    ///
    /// # Errors
    ///
    /// When the controller has ended.
    pub async fn kill(&mut self) -> Result<(), Ended> {
        self.builds.abort_all();
        self.doors.clear();
        self.engine.kill(self.stop_deadline).await
    }

    /// Kills processes that are left. Returns how many: 0 unless something went wrong.
    pub async fn finish(self) -> usize {
        self.engine.finish().await
    }
}
