//! The calls that a program makes, each with the fault that was planned for it.

use std::io;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::world::{Inode, Renaming, World};
use super::{Disk, Fault, FaultyDisk, File};

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::Full => io::ErrorKind::StorageFull.into(),
            _ => io::Error::other("input/output error"),
        }
    }
}

/// A call that is being made.
struct Calling<'a> {
    world: MutexGuard<'a, World>,
    fault: Option<Fault>,
}

impl<'a> Calling<'a> {
    /// The world, for a call that is done as a whole or not at all.
    fn whole(self) -> io::Result<MutexGuard<'a, World>> {
        match self.fault {
            None | Some(Fault::Misdirected) => Ok(self.world),
            Some(fault) => Err(fault.error()),
        }
    }
}

impl FaultyDisk {
    /// Numbers a call that only reads.
    fn reading(&self, of: &str) -> io::Result<Calling<'_>> {
        let mut world = self.0.world.lock();
        if world.is_off() {
            return Err(io::Error::other("the power is off"));
        }
        world.touches += 1;
        let fault = world.touch_fault.filter(|&(touch, _)| touch == world.touches);
        let fault = fault.map(|(_, fault)| fault);
        if fault.is_some() {
            world.struck = Some(of.to_owned());
        }
        Ok(Calling { world, fault })
    }

    /// Numbers a call that changes something.
    fn changing(&self, of: &str) -> io::Result<Calling<'_>> {
        let mut calling = self.reading(of)?;
        let world = &mut *calling.world;
        world.calls += 1;
        if let Some((_, fault)) = world.fault.filter(|&(call, _)| call == world.calls) {
            world.struck = Some(of.to_owned());
            calling.fault = Some(fault);
        }
        Ok(calling)
    }

    fn change_names(
        &self,
        name: &str,
        change: impl FnOnce(&mut World) -> io::Result<Renaming>,
    ) -> io::Result<()> {
        let mut world = self.changing(name)?.whole()?;
        let change = change(&mut world)?;
        change.apply(&mut world.live);
        world.unsynced.push(change);
        Ok(())
    }

    fn file(&self, name: &str, id: usize) -> Arc<dyn File> {
        Arc::new(FaultyFile { disk: self.clone(), name: name.to_owned(), id })
    }

    fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.1)
    }
}

impl Disk for FaultyDisk {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let mut id = 0;
        let name = self.full_name(name);
        self.change_names(&name, |world| {
            if world.live.contains_key(&name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            id = world.inodes.len();
            world.inodes.push(Inode::default());
            Ok(Renaming::new(None, Some((name.clone(), id))))
        })?;
        Ok(self.file(&name, id))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let name = self.full_name(name);
        let id = self.reading(&name)?.whole()?.find(&name)?;
        Ok(self.file(&name, id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.full_name(from), self.full_name(to));
        self.change_names(&from, |world| {
            let id = world.find(&from)?;
            Ok(Renaming::new(Some(from.clone()), Some((to, id))))
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let name = self.full_name(name);
        self.change_names(&name, |world| {
            world.find(&name)?;
            Ok(Renaming::new(Some(name.clone()), None))
        })
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.reading("the directory")?.whole()?.list(&self.1))
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.changing("the directory")?.whole()?.sync_dir(&self.1);
        Ok(())
    }

    fn folder(&self, name: &str) -> io::Result<Arc<dyn Disk>> {
        let name = self.full_name(&format!("{name}/"));
        if self.reading(&name)?.whole()?.find(&name).is_err() {
            self.change_names(&name, |world| {
                world.inodes.push(Inode::default());
                Ok(Renaming::new(None, Some((name.clone(), world.inodes.len() - 1))))
            })?;
        }
        Ok(Arc::new(Self(Arc::clone(&self.0), name)))
    }

    fn move_into(&self, folder: &str, name: &str) -> io::Result<()> {
        self.rename(name, &format!("{folder}/{name}"))
    }
}

struct FaultyFile {
    disk: FaultyDisk,
    name: String,
    id: usize,
}

impl File for FaultyFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.reading(&self.name)?.whole()?.inodes[self.id].live.len() as u64)
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<()> {
        let Calling { mut world, fault } = self.disk.reading(&self.name)?;
        match fault {
            None => {}
            Some(Fault::Misdirected) => {
                let (id, at) = world.elsewhere(self.id, offset, buf.len()).unwrap_or((self.id, 0));
                // What lies behind the end of a file on the disk is anybody's; here, zeros.
                buf.fill(0);
                let content = world.inodes[id].live.get(at..).unwrap_or_default();
                let len = content.len().min(buf.len());
                buf[..len].copy_from_slice(&content[..len]);
                return Ok(());
            }
            Some(fault) => return Err(fault.error()),
        }
        let content = &world.inodes[self.id].live;
        let start = (offset as usize).min(content.len());
        let found = content[start..].get(..buf.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buf.copy_from_slice(found);
        Ok(())
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        let Calling { mut world, fault } = self.disk.changing(&self.name)?;
        let written = match fault {
            None => data,
            Some(Fault::Short) => &data[..data.len() / 2],
            Some(Fault::Misdirected) => {
                if let Some((id, at)) = world.elsewhere(self.id, offset, data.len()) {
                    let inode = &mut world.inodes[id];
                    let len = data.len().min(inode.live.len() - at);
                    inode.write(at, &data[..len]);
                    // It is on the disk, whether or not anyone ever syncs that file.
                    inode.sync();
                }
                let inode = &mut world.inodes[self.id];
                // The file has the length that it was given; its blocks hold what they held.
                let missing = (offset as usize + data.len()).saturating_sub(inode.live.len());
                let end = inode.live.len();
                inode.write(end, &vec![0; missing]);
                return Ok(());
            }
            Some(_) => &[],
        };
        let (start, len) = (offset as usize, world.inodes[self.id].live.len());
        let growth = (start + written.len()).saturating_sub(len) as u64;
        if growth > 0 && world.used() + growth > world.quota {
            return Err(io::ErrorKind::StorageFull.into());
        }
        world.inodes[self.id].write(start, written);
        fault.map_or(Ok(()), |fault| Err(fault.error()))
    }

    fn sync(&self) -> io::Result<()> {
        let Calling { mut world, fault } = self.disk.changing(&self.name)?;
        if let Some(fault) = fault.filter(|&fault| fault != Fault::Misdirected) {
            // As Linux does: the pages count as clean now, and no later sync will write them.
            world.inodes[self.id].unsynced.clear();
            return Err(fault.error());
        }
        world.held += 1;
        while world.holding {
            self.disk.0.released.wait(&mut world);
        }
        world.held -= 1;
        world.inodes[self.id].sync();
        Ok(())
    }
}
