// STOP: store/ is written (see git log) and log/src/{commit,group,solo,tail,expiry}.rs too: read the top of /work/notes/CONTRACT.md, then review and test what is there.
