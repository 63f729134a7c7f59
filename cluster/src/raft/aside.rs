//! What takes seconds for a large state, beside all else that a node does: its sum is made before it is sent, it is
//! read and kept as a whole when it has come, and it is parted when its group becomes several.

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

/// Does what takes long. A node with a single thread would answer nobody meanwhile, and be taken for dead: where the
/// runtime can, another thread goes on with its tasks.
pub(super) fn aside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => block_in_place(work),
        _ => work(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_single_thread_does_other_things_beside_what_takes_long() {
        let runtime = Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let told = runtime.block_on(runtime.spawn(async {
            let (tell, told) = mpsc::channel();
            tokio::spawn(async move { tell.send(()) });
            aside(|| told.recv_timeout(Duration::from_secs(10)))
        }));
        assert_eq!(told.expect("it ended"), Ok(()));
    }

    #[test]
    fn without_threads_it_is_done_all_the_same() {
        assert_eq!(aside(|| 1), 1);
    }
}
