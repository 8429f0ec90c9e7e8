/** Unix sockets that are bound to a path: what is left there of others, and what is left of one's own. */
import { lstatSync, type Stats, unlinkSync } from 'node:fs'
import { errnoNumber } from '../errno.js'
import { systemError } from '../errors.js'
import { fromSystemError } from '../namespace/failure.js'
import type { Namespace } from '../namespace/namespace.js'
import { native } from '../native.js'
import { encodeUnixAddress, shownPath } from '../packets/unix.js'
import { openUnixSocket } from './setup.js'

const EADDRINUSE = -errnoNumber('EADDRINUSE')
const ECONNREFUSED = -errnoNumber('ECONNREFUSED')

function fileAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

/** Why the path is in use, or undefined when what is there is a socket that nobody holds any more. */
async function whyInUse(namespace: Namespace, path: string, type: number): Promise<string | undefined> {
  const file = fileAt(path)
  if (file === undefined) return undefined
  if (!file.isSocket()) return 'the file there is no socket'
  const probe = await openUnixSocket(namespace, type)
  try {
    const answer = native.connectSocket(probe, encodeUnixAddress(path))
    return answer === ECONNREFUSED ? undefined : 'a process listens there'
  } finally {
    native.closeDescriptorNow(probe)
  }
}

/**
 * bind(2) to a path, or an abstract address. A socket file that a process has left behind is replaced, as long as nobody listens there.
 *
 * @returns what removes the file, if it is still the one that was made here. Idempotent.
 */
export async function bindUnixPath(fd: number, namespace: Namespace, path: string, type: number): Promise<() => void> {
  const address = encodeUnixAddress(path)
  const shown = shownPath(path)
  let result = native.bindSocket(fd, address)
  let hint: string | undefined
  if (result === EADDRINUSE && !path.startsWith('\0')) {
    hint = await whyInUse(namespace, path, type)
    if (hint === undefined) {
      try {
        if (fileAt(path) !== undefined) unlinkSync(path)
      } catch (error) {
        throw fromSystemError(error, `cannot remove what is left at ${shown}`)
      }
      result = native.bindSocket(fd, address)
    }
  }
  if (result < 0) throw systemError(result, 'bind', `cannot bind to ${shown}`, { hint })
  if (path.startsWith('\0')) return () => {}
  const made = fileAt(path)
  let removed = made === undefined
  return () => {
    if (removed) return
    removed = true
    try {
      const now = fileAt(path)
      if (now !== undefined && now.ino === made?.ino && now.dev === made.dev) unlinkSync(path)
    } catch {
      // The folder is gone, or no longer ours: then the file is not ours to remove.
    }
  }
}
