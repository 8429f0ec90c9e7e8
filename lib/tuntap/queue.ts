/** The queues of a multi-queue interface beyond its first. */
import { namedError, systemError } from '../errors.js'
import { native } from '../native.js'
import { PacketDevice } from '../packets/device.js'
import { deviceOf } from '../packets/end.js'
import { InterfaceEnd } from '../packets/interface-end.js'
import { tunConstants } from './constants.js'

/** What a descriptor of a tun device needs to be known as. */
export interface TunDescriptor {
  fd: number
  name: string
  layer3: boolean
  /** The TUN_F_… flags that are on; undefined without offload headers. */
  offloads: number | undefined
}

/** The device of a tap's or tun's descriptor. */
export function tunDevice({ fd, name, layer3, offloads }: TunDescriptor): PacketDevice {
  const headers = offloads === undefined ? 0 : 1
  const deleted = (syscall: string) => namedError('ENODEV', syscall, `${name} was deleted`)
  return new PacketDevice({
    end: native.createTunEnd(fd, layer3 ? 1 : 0, headers, offloads ?? 0),
    fd,
    name,
    layer3,
    offload: headers === 1,
    explain(result, syscall) {
      const error = systemError(result, syscall, `cannot ${syscall} ${name}`)
      // What a descriptor says once its interface is deleted.
      return error.code === 'EBADFD' || error.code === 'ENODEV' ? deleted(syscall) : error
    },
    explainPoll: () => deleted('read'),
  })
}

/** One ioctl of a descriptor of an interface that is open. */
export async function control(
  device: PacketDevice,
  request: keyof typeof tunConstants,
  value: number,
  what: string,
): Promise<void> {
  if (device.closed) throw namedError('EBADF', request, `${device.name} is closed`)
  const result = await native.controlTun(device.fd, tunConstants[request], value)
  if (result >= 0) return
  const error = systemError(result, request, `cannot ${what} ${device.name}`)
  throw error.code === 'EBADFD' || error.code === 'ENODEV'
    ? namedError('ENODEV', request, `${device.name} was deleted`)
    : error
}

/**
 * A queue of an interface with several: a packet end of its own. The kernel puts the frames of a flow into one queue, and those that
 * are written are of no queue. A queue that is attached and not read loses what it gets: detach it.
 */
export class TunQueue extends InterfaceEnd {
  /** @internal */
  constructor(
    device: PacketDevice,
    mtu: number,
    readableHighWaterMark: number,
    writableHighWaterMark: number,
    closed: (queue: TunQueue) => void,
  ) {
    super({ device, mtu, readableHighWaterMark, writableHighWaterMark })
    this.once('close', () => closed(this))
  }

  /** The kernel gives frames to this queue again (TUNSETQUEUE, IFF_ATTACH_QUEUE). EINVAL when it is attached. */
  async attach(): Promise<void> {
    await control(deviceOf(this), 'TUNSETQUEUE', tunConstants.IFF_ATTACH_QUEUE, 'attach a queue of')
  }

  /** The kernel gives this queue no more frames; those in it are dropped (TUNSETQUEUE, IFF_DETACH_QUEUE). EINVAL when it is detached. */
  async detach(): Promise<void> {
    await control(deviceOf(this), 'TUNSETQUEUE', tunConstants.IFF_DETACH_QUEUE, 'detach a queue of')
  }
}
