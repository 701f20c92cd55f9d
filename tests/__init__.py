"""Every check of Agora. The folders mirror the source, floor by floor and file by file."""
