/** Unix sockets (unix(7)): numbers, addresses, and what a descriptor of one says about itself. */
import { systemError } from '../errors.js'
import { native } from '../native.js'
import { decodeInt, LITTLE_ENDIAN } from '../netlink/bytes.js'
import { SOL_SOCKET } from '../netlink/socket.js'
import { checkOneOf, checkOptions, checkString, valueError } from '../validate.js'

/** Of sys/socket.h and asm-generic/socket.h, the same on x64 and arm64. A test compares every value with the header's. */
export const unixConstants = {
  AF_UNIX: 1,
  SOCK_STREAM: 1,
  SOCK_DGRAM: 2,
  SOCK_SEQPACKET: 5,
  SO_TYPE: 3,
  SO_PEERCRED: 17,
  SO_DOMAIN: 39,
} as const

/** Kinds of Unix sockets. */
export const unixTypes = {
  stream: unixConstants.SOCK_STREAM,
  seqpacket: unixConstants.SOCK_SEQPACKET,
  datagram: unixConstants.SOCK_DGRAM,
} as const

export type UnixType = keyof typeof unixTypes

/** Bytes of sun_path in struct sockaddr_un. */
const PATH_ROOM = 108

/** A path of a Unix socket, or an abstract address that begins with a zero byte. */
export function checkUnixPath(path: unknown, name: string): asserts path is string {
  checkString(path, name)
  const length = Buffer.byteLength(path)
  const isAbstract = path.startsWith('\0')
  if (length === 0 || (isAbstract && length === 1)) throw valueError(name, path, 'is empty')
  if (!isAbstract && path.includes('\0')) throw valueError(name, path, 'has a zero byte')
  const most = isAbstract ? PATH_ROOM : PATH_ROOM - 1
  if (length > most) throw valueError(name, path, `has ${length} bytes, and a Unix socket's address at most ${most}`)
}

/** The bytes of a struct sockaddr_un. */
export function encodeUnixAddress(path: string): Uint8Array {
  const bytes = Buffer.from(path.startsWith('\0') ? path : `${path}\0`)
  const address = new Uint8Array(2 + bytes.length)
  new DataView(address.buffer).setUint16(0, unixConstants.AF_UNIX, LITTLE_ENDIAN)
  address.set(bytes, 2)
  return address
}

/** As messages call it: an abstract address with @, as ss(8) has it. */
export function shownPath(path: string): string {
  return path.startsWith('\0') ? `@${path.slice(1)}` : path
}

function intOption(fd: number, option: number): number {
  const value = new Uint8Array(4)
  const result = native.getSocketOption(fd, SOL_SOCKET, option, value)
  if (result < 0) throw systemError(result, 'getsockopt', `descriptor ${fd} cannot be used as a socket`)
  return decodeInt(value)
}

/** What kind of Unix socket a descriptor is. Throws EBADF or ENOTSOCK, and a RangeError when it is a socket of another family. */
export function unixTypeOf(fd: number, name: string): UnixType {
  const family = intOption(fd, unixConstants.SO_DOMAIN)
  if (family !== unixConstants.AF_UNIX) throw valueError(name, fd, 'is a socket, but not a Unix socket')
  const number = intOption(fd, unixConstants.SO_TYPE)
  for (const [type, value] of Object.entries(unixTypes)) if (value === number) return type as UnixType
  throw valueError(name, fd, `is a Unix socket of the unknown type ${number}`)
}

/** Who made the other end of a connected Unix socket (SO_PEERCRED): as it was then, and as this process's namespaces see it. */
export interface PeerCredentials {
  /** 0 when the process is in a pid namespace that cannot be seen from here. */
  pid: number
  uid: number
  gid: number
}

export function peerOf(fd: number): PeerCredentials | undefined {
  const value = Buffer.alloc(12)
  if (native.getSocketOption(fd, SOL_SOCKET, unixConstants.SO_PEERCRED, value) !== 12) return undefined
  const [pid = 0, uid = 0, gid = 0] = new Uint32Array(value.buffer, value.byteOffset, 3)
  return { pid, uid, gid }
}

/** Options of `createSocketPair`. */
export interface SocketPairOptions {
  /** Default: 'stream'. */
  type?: UnixType
}

/**
 * Two connected Unix sockets (socketpair(2)): one for an end here, which takes it over (`openQemuStream({ fd })`,
 * `openQemuDatagram({ fd })`, `openDescriptorChannel({ fd })`), and one for a child's `stdio`. Both are the caller's, to be closed with
 * `fs.closeSync`; they are non-blocking, and close-on-exec until `stdio` gives them to a child.
 *
 * @throws NetkitError EMFILE
 */
export function createSocketPair(options: SocketPairOptions = {}): [number, number] {
  checkOptions(options, 'options', ['type'])
  const { type = 'stream' } = options
  checkOneOf(type, 'options.type', Object.keys(unixTypes) as UnixType[])
  const ends = new Uint32Array(2)
  const result = native.createSocketPair(unixTypes[type], ends)
  if (result < 0) throw systemError(result, 'socketpair', 'cannot make a pair of Unix sockets')
  for (const fd of ends) native.disownDescriptor(fd)
  return [...ends] as [number, number]
}
