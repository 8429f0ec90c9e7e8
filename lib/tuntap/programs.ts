/** eBPF programs of a tap or tun: which queue a frame goes to, and whether it does. */
import type { PacketDevice } from '../packets/device.js'
import { checkInteger } from '../validate.js'
import { control } from './queue.js'

/** What a program is for: the ioctl that attaches it to all queues of the interface. */
const requests = { steering: 'TUNSETSTEERINGEBPF', filter: 'TUNSETFILTEREBPF' } as const

/**
 * Attaches a loaded program of type BPF_PROG_TYPE_SOCKET_FILTER (bpf(2)) by its descriptor, which stays the caller's, in place of the
 * one before; null attaches none. What the interface sends is shown to it: a steering program returns the number of the queue (what
 * is too large is taken modulo their number), a filter how many bytes of the frame to keep, 0 being none.
 *
 * @throws NetkitError EBADF when there is no such descriptor, EINVAL when it is no such program, ENODEV
 */
export async function setProgram(device: PacketDevice, role: keyof typeof requests, fd: number | null): Promise<void> {
  if (fd !== null) checkInteger(fd, 'fd', 0, 0x7fff_ffff)
  await control(device, requests[role], fd ?? -1, `set the ${role} program of`)
}
