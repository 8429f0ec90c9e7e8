/** What the sockets of a namespace have in common. */
import { systemError } from '../errors.js'
import { native } from '../native.js'
import { encodeInt } from '../netlink/bytes.js'
import { SOL_SOCKET } from '../netlink/socket.js'
import { familyOf } from '../values/ip.js'
import { hintIfDenied } from './failure.js'
import { capabilityHint, handleOf } from './internal.js'
import type { Namespace } from './namespace.js'
import { encodeSocketAddress, formatSocketAddress, type SocketAddress } from './sockaddr.js'

/** asm-generic/socket.h, linux/net.h, linux/in6.h; the same numbers on x64 and arm64. */
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
const IPPROTO_IPV6 = 41
export const SO_REUSEADDR = [SOL_SOCKET, 2, 'SO_REUSEADDR'] as const
export const SO_ERROR = [SOL_SOCKET, 4, 'SO_ERROR'] as const
export const SO_BROADCAST = [SOL_SOCKET, 6, 'SO_BROADCAST'] as const
export const SO_BINDTODEVICE = [SOL_SOCKET, 25, 'SO_BINDTODEVICE'] as const
export const IPV6_V6ONLY = [IPPROTO_IPV6, 26, 'IPV6_V6ONLY'] as const

type SocketOption = readonly [level: number, option: number, name: string]

/** A socket of a namespace, until it is closed or handed to Node. */
export class RawSocket {
  #open = true

  private constructor(
    readonly namespace: Namespace,
    readonly fd: number,
  ) {}

  /** socket(2) for an address's family. */
  static async open(namespace: Namespace, type: number, address: SocketAddress): Promise<RawSocket> {
    const { descriptor, label } = handleOf(namespace)
    const fd = await native.openSocket(descriptor, familyOf(address.octets), type, 0)
    if (fd >= 0) return new RawSocket(namespace, fd)
    const hint = hintIfDenied(fd, () => capabilityHint(namespace, 'CAP_SYS_ADMIN'))
    throw systemError(fd, 'socket', `cannot open a socket in ${label}`, { hint })
  }

  get #label(): string {
    return handleOf(this.namespace).label
  }

  set([level, option, name]: SocketOption, value: boolean | Uint8Array): void {
    const result = native.setSocketOption(
      this.fd,
      level,
      option,
      typeof value === 'boolean' ? encodeInt(value ? 1 : 0) : value,
    )
    if (result === 0) return
    const hint = hintIfDenied(result, () => capabilityHint(this.namespace, 'CAP_NET_RAW'))
    throw systemError(result, 'setsockopt', `cannot set ${name} in ${this.#label}`, { hint })
  }

  bind(address: SocketAddress): void {
    const result = native.bindSocket(this.fd, encodeSocketAddress(address))
    if (result === 0) return
    const hint = hintIfDenied(result, () => capabilityHint(this.namespace, 'CAP_NET_BIND_SERVICE'))
    throw systemError(result, 'bind', `cannot bind to ${formatSocketAddress(address)} in ${this.#label}`, { hint })
  }

  /**
   * Hands the descriptor to Node, which closes it from here on. `adopt` takes it over; when it throws, it has not.
   */
  handOver<T>(adopt: (fd: number) => T): T {
    try {
      const adopted = adopt(this.fd)
      this.#open = false
      native.disownDescriptor(this.fd)
      return adopted
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** Idempotent, and nothing after `handOver`. */
  close(): void {
    if (!this.#open) return
    this.#open = false
    native.closeDescriptorNow(this.fd)
  }
}
