/** Whose root this process is. */
import { readFileSync } from 'node:fs'

/** True for the machine's own root: in a user namespace other users may not exist, and no device can be made. */
export const isMachineRoot =
  process.geteuid?.() === 0 && /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'))
