/** connect(2) of a socket that does not wait, and the wait for its end. */
import { errnoNumber } from '../errno.js'
import { systemError } from '../errors.js'
import { native } from '../native.js'
import { decodeInt } from '../netlink/bytes.js'
import type { Lifetime } from './lifetime.js'
import { SO_ERROR } from './sockets.js'

const EINPROGRESS = -errnoNumber('EINPROGRESS')
const WRITABLE = 2

/** Connects a socket, and waits until that has come to an end. Resolves to 0 or a negated errno; rejects when the lifetime is over. */
export async function connectTo(fd: number, address: Uint8Array, lifetime: Lifetime): Promise<number> {
  const result = native.connectSocket(fd, address)
  if (result !== EINPROGRESS) return result
  await writable(fd, lifetime)
  const value = new Uint8Array(4)
  const asked = native.getSocketOption(fd, SO_ERROR[0], SO_ERROR[1], value)
  return asked < 0 ? asked : -decodeInt(value)
}

function writable(fd: number, lifetime: Lifetime): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (finish: () => void) => {
      off()
      poller.close()
      finish()
    }
    const off = lifetime.onEnd((error) => settle(() => reject(error)))
    // An error condition is found by the SO_ERROR that follows.
    const poller = native.createPoller(fd, () => settle(resolve))
    const started = poller.start(WRITABLE)
    if (started < 0) settle(() => reject(systemError(started, 'epoll_ctl', 'cannot wait for a connection')))
  })
}
