//! The bare store's program: listens on a free loopback port and says which.

use std::io;

use tidekeep_bench::bare;

fn main() -> io::Result<()> {
    bare::run()
}
