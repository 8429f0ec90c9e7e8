/**
 * The only border to the C++ addon: its types, and its loading.
 *
 * Conventions of every function here:
 * - a number below zero is a negated errno, nothing else is thrown (except a TypeError for wrong argument types, which the
 *   layers above never cause), and promises never reject;
 * - a namespace argument is a descriptor of a network namespace, or -1 for the one this environment started in;
 * - a descriptor that the addon returns is owned by the environment: it is closed with `closeDescriptor`, or at the
 *   environment's end (the process's, or the worker thread's).
 */
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { NativeEnd } from './native/end.js'
import type { PumpFunctions } from './native/pump.js'
import type { SwitchFunctions } from './native/switch.js'

export type { NativeEnd } from './native/end.js'
export type { NativePump } from './native/pump.js'
export type { NativeSwitch } from './native/switch.js'

/** What `exchange` and `receive` did. */
export interface ExchangeResult {
  /** Bytes sent, or a negated errno of send(2); 0 when nothing was to be sent. */
  sent: number
  /** Bytes of replies now in the reply buffer, each datagram padded to 4 bytes. */
  received: number
  /** 0, or the negated errno that ended receiving (-ENOBUFS: replies were lost). */
  error: number
  /** True when receiving stopped because the reply buffer is full: call `receive` for the rest. */
  more: boolean
}

/** What `receiveDescriptors` found. */
export interface ArrivedDescriptors {
  /** Bytes of data. 0 without descriptors and with `lost` false: the other side has closed. */
  received: number
  /** Owned by the environment, close-on-exec. */
  descriptors: number[]
  /** Whether the data was longer than there was room for (MSG_TRUNC): the rest of the message is gone. */
  cut: boolean
  /** Whether descriptors were lost (MSG_CTRUNC): this process may have no more. */
  lost: boolean
}

/** What `openTun` did: when `error` is below zero, `syscall` says in which step, and there is no descriptor. */
export interface TunResult {
  fd: number
  error: number
  syscall: 'setns' | 'open' | 'TUNSETIFF' | 'ioctl'
  /** The index of the control in `controls` that failed, when `syscall` is 'ioctl'. */
  control: number
  /** The interface's name, as the kernel chose it. */
  name: string
}

/** What `openMacvtap` did: when `error` is below zero there is no descriptor. */
export type MacvtapResult = Pick<TunResult, 'fd' | 'error'> & {
  syscall: 'setns' | 'sysfs' | 'open' | 'TUNGETIFF' | 'TUNSETIFF'
}

/** A libuv poll handle on a descriptor. Keeps the process alive while started, unless unref() was called. */
export interface Poller {
  /** Starts polling: `events` is a sum of 1 (readable) and 2 (writable). Returns 0 or a negated errno. */
  start(events: number): number
  stop(): void
  /** Lets go of the descriptor, which stays open. Idempotent. The callback is never called after this. */
  close(): void
  ref(): void
  unref(): void
}

export interface Native extends PumpFunctions, SwitchFunctions {
  /** Hands a descriptor to the environment, to be closed at its end. */
  ownDescriptor(fd: number): void
  /** Takes a descriptor back: nothing closes it any more. False when it was not owned. */
  disownDescriptor(fd: number): boolean
  /**
   * Closes an owned descriptor on the thread for closing, after all work that was handed in with it. Resolves to 0, or -EBADF
   * when not owned.
   */
  closeDescriptor(fd: number): Promise<number>
  /** The same on this thread, now. */
  closeDescriptorNow(fd: number): number
  /** How many descriptors the environment owns. */
  ownedDescriptors(): number

  /** socket(2) inside a namespace (SOCK_CLOEXEC | SOCK_NONBLOCK are added). Resolves to a descriptor. */
  openSocket(namespace: number, family: number, type: number, protocol: number): Promise<number>
  bindSocket(fd: number, address: Uint8Array): number
  /** connect(2): -EINPROGRESS is the usual answer of a TCP socket. */
  connectSocket(fd: number, address: Uint8Array): number
  /** getsockname(2): fills `address`, and returns its length. */
  socketName(fd: number, address: Uint8Array): number
  /** eventfd(2): a descriptor, or a negated errno. */
  createEventDescriptor(): number
  /** Sets an eventfd back to 0. */
  readEventDescriptor(fd: number): number
  setSocketOption(fd: number, level: number, option: number, value: Uint8Array): number
  /** Fills `value` and returns the length of what was filled. */
  getSocketOption(fd: number, level: number, option: number, value: Uint8Array): number

  /**
   * sendmsg(2) on a Unix socket, without waiting and without SIGPIPE: at most 253 descriptors with the first byte of `data`. Returns
   * how many bytes were taken.
   */
  sendDescriptors(fd: number, data: Uint8Array, descriptors: Uint32Array): number
  /** recvmsg(2) on a Unix socket, without waiting: one message, or a piece of a stream; or a negated errno. */
  receiveDescriptors(fd: number, data: Uint8Array): ArrivedDescriptors | number
  /** A close-on-exec duplicate of any descriptor. */
  duplicateDescriptor(fd: number): number
  /**
   * Hands a descriptor to the environment as `ownDescriptor` does, and makes it close-on-exec; with `nonBlocking` 1, non-blocking too,
   * for all who share it. -EBADF when it is not open.
   */
  adoptDescriptor(fd: number, nonBlocking: number): number
  listenSocket(fd: number, backlog: number): number
  /** accept4(2) with SOCK_CLOEXEC and SOCK_NONBLOCK, without waiting when `fd` does not block. Returns a descriptor. */
  acceptSocket(fd: number): number
  /** socketpair(2) of AF_UNIX, close-on-exec and non-blocking: the two descriptors are written to `ends`. */
  createSocketPair(type: number, ends: Uint32Array): number

  /**
   * On the work thread: sends `request` (may be empty) as one datagram, then receives, without waiting, what the kernel has
   * answered into `reply`. Both arrays must not be touched until the promise resolves. `sent` is -EBADF when the descriptor is
   * not owned.
   */
  exchange(fd: number, request: Uint8Array, reply: Uint8Array): Promise<ExchangeResult>
  /** On this thread: receives one or more datagrams of a netlink socket without waiting. Returns bytes, or a negated errno (-EAGAIN). */
  receive(fd: number, reply: Uint8Array): number

  /** A new poll handle; `callback` gets a status (0 or a negated errno) and the events. One a descriptor. */
  createPoller(fd: number, callback: (status: number, events: number) => void): Poller

  /** unshare(CLONE_NEWNET) on a thread of its own. Resolves to a descriptor of the new namespace. */
  createNamespace(): Promise<number>
  /**
   * Calls `fn` with the calling thread inside the namespace, and returns to the one before whatever happens; if that fails,
   * the process is aborted. Returns 0, or the negated errno of setns(2) when `fn` was not called.
   */
  runInside(namespace: number, fn: () => void): number
  /** NS_GET_NSTYPE: the CLONE_NEW… flag of a namespace descriptor. */
  namespaceType(fd: number): number
  /** NS_GET_USERNS: a descriptor of the user namespace that owns a namespace. */
  namespaceOwner(fd: number): number
  /** mount(2) with no type and no data, on this thread. A path that is too long, or has a zero byte, is -ENAMETOOLONG. */
  mount(source: string, target: string, flags: number): number
  /**
   * umount2(2), on the thread for closing, provided that `target` is the file with this device and inode number: otherwise -ESTALE.
   * Resolves to 0 or a negated errno, -ENAMETOOLONG as above.
   */
  unmount(target: string, flags: number, device: number, inode: number): Promise<number>
  /** flock(2). */
  lockFile(fd: number, operation: number): number

  /**
   * On a thread of its own: opens /dev/net/tun inside the namespace (O_NONBLOCK | O_CLOEXEC), TUNSETIFF with `name` (may be
   * empty) and `flags`, then each ioctl of `controls`, a flat list of (request, value) pairs.
   */
  openTun(namespace: number, name: string, flags: number, controls: Uint32Array): Promise<TunResult>
  /**
   * One ioctl with an integer argument on a tun descriptor, on the work thread. Resolves to 0 or a negated errno, -EBADF when
   * the descriptor is not owned.
   */
  controlTun(fd: number, request: number, value: number): Promise<number>
  /**
   * On a thread of its own: opens the character device of the macvtap or ipvtap with this name and index in a namespace, and
   * TUNSETIFF with `flags`. `syscall` says in which step `error` came: 'setns', 'sysfs' (finding the device), 'open', 'TUNGETIFF',
   * 'TUNSETIFF'.
   */
  openMacvtap(namespace: number, name: string, index: number, flags: number): Promise<MacvtapResult>
  /** TUNGETIFF on the work thread: 0 or a negated errno (-ENOLINK: the link of a macvtap is deleted). */
  probeTun(fd: number): Promise<number>
  /** TUNGETIFF, on this thread: the interface's name and flags (IFF_…), or a negated errno. */
  identifyTun(fd: number): { name: string; flags: number } | number
  /** SIOCGSKNS, on this thread: a descriptor of the namespace that a tun descriptor's interface was made in. */
  tunNamespace(fd: number): number

  /**
   * The end that a descriptor of a tap, tun or macvtap is. `layer3`, `headers`: 1 or 0; headers are 10 bytes. `offloads`: a sum of
   * TUN_F_… that writing may use. The end never closes the descriptor.
   */
  createTunEnd(fd: number, layer3: number, headers: number, offloads: number): NativeEnd

  /**
   * The end that a bound AF_PACKET socket with PACKET_VNET_HDR and PACKET_AUXDATA is. `flags`: a sum of 1 (offload headers are handed
   * over) and 2 (it is not bound to one link). `offloads`: TUN_F_… that writing may use. `frameLength`: of frames that the link
   * usually has; longer ones cost more. `blocks` of `blockSize`: the socket's ring, 0 without. A negated errno when the ring cannot
   * be mapped.
   */
  createPacketEnd(
    fd: number,
    flags: number,
    offloads: number,
    frameLength: number,
    blockSize: number,
    blocks: number,
  ): NativeEnd | number
  /** Frames that the kernel has dropped for want of room, and those that could not be handed over. */
  packetDrops(end: NativeEnd): number
  /** Milliseconds after which an end is to be read though nothing polls; 0 when it need not be. */
  lookAgain(end: NativeEnd): number
  /** Whether the frames of an end are IP packets. */
  isLayer3End(end: NativeEnd): boolean
  /** Unmaps the ring, which would keep the socket open. Reading says -EBADF from then on. Idempotent. */
  shutPacketEnd(end: NativeEnd): void
  /**
   * SO_ATTACH_FILTER or PACKET_FANOUT_DATA: a classic BPF program, an array of struct sock_filter. Returns 0 or a negated errno.
   */
  setSocketProgram(fd: number, level: number, option: number, instructions: Uint8Array): number

  /**
   * Reads whole frames without waiting: frame i goes to `slab` where the one before ended (rounded up to 64 bytes), and
   * (offset, length) to `spans`; a length with HAS_HEADER (2^31) says that an offload header lies in the 10 bytes before the offset.
   * Stops at `max` frames, when there is less room left than a frame may need, or when nothing waits. Starts at `position` in the
   * slab. `details`: 16 bytes a frame, struct FrameDetail of src-native/end.h, aligned to 8. Returns the number of frames, or a
   * negated errno when there is not one.
   */
  readFrames(
    end: NativeEnd,
    slab: Uint8Array,
    position: number,
    spans: Uint32Array,
    max: number,
    details?: Uint8Array,
  ): number
  /**
   * Writes `count` frames from `spans[2 * start]` on, cut into segments and given their checksums where the end needs that. A
   * frame that the end refuses (too short, link down, no memory) is skipped and counted. Returns the number of frames dealt with,
   * fewer than asked when the end is full; or a negated errno when there is not one: -EAGAIN, or the end is gone.
   */
  writeFrames(end: NativeEnd, slab: Uint8Array, spans: Uint32Array, start: number, count: number): number
  /** The same for whole frames in arrays of their own, from `frames[start]` on. */
  writeBuffers(end: NativeEnd, frames: readonly Uint8Array[], start: number): number
  /** Wakes the end's poll handle, if that is started, when frames wait in memory. */
  nudgeEnd(end: NativeEnd): void
  /** Goes on with what an end has begun to write. Returns 1 when it wants to write more, 0 when not, or a negated errno. */
  flushEnd(end: NativeEnd): number
  /** Fills in frames read, bytes read, frames written, bytes written, frames refused, frames truncated, errno of the last refusal. */
  endCounters(end: NativeEnd, values: Float64Array): void
  /**
   * Blocks this thread until one of the descriptors (64 at most) is readable: its index; -EAGAIN after `timeout` milliseconds
   * (-1: never) or a signal.
   */
  waitReadable(fds: Uint32Array, timeout: number): number

  /**
   * The most bytes that segmentFrame() makes of a frame with this offload header (10 bytes), wherever it begins to write; each
   * segment takes 64 or more of them. 0 when it would be refused.
   */
  segmentRoom(frame: Uint8Array, header: Uint8Array, layer3: boolean): number
  /**
   * Cuts a frame as its offload header says, or completes its checksum: whole frames go to `out` from `position` on, at multiples
   * of 64, and (offset, length) of each to `spans`. `frame` and `out` must not overlap. Returns the number of frames, or a negated
   * errno: -EINVAL (header and frame contradict each other), -EMSGSIZE (no room in `out`), -E2BIG (none in `spans`), -EOPNOTSUPP
   * (another kind of segmentation, SCTP).
   */
  segmentFrame(
    frame: Uint8Array,
    header: Uint8Array,
    layer3: boolean,
    out: Uint8Array,
    position: number,
    spans: Uint32Array,
  ): number
  /**
   * Joins frames that follow each other in one flow, for a writer that takes `offloads` (TUN_F_…): the result goes to `out` from
   * `position` on, and (offset, length) of each frame to `outSpans`, with the highest bit of the length for one with an offload
   * header before it. `slab` and `out` must not overlap. Returns the number of frames, at most `count`, or a negated errno: -EINVAL
   * (a span lies), -EMSGSIZE (no room).
   */
  coalesceFrames(
    slab: Uint8Array,
    spans: Uint32Array,
    count: number,
    layer3: boolean,
    offloads: number,
    out: Uint8Array,
    position: number,
    outSpans: Uint32Array,
  ): number
  /** The Internet checksum (RFC 1071), not inverted, of bytes, added to `sum`: both numbers of 16 bits. */
  internetSum(sum: number, bytes: Uint8Array): number

  /**
   * Checks a classic BPF program (an array of struct sock_filter) as the kernel does. Returns 0, or -(1 + i) where instruction i is
   * the first that is refused, i being their number when the program is empty, too long, or does not end with a return.
   */
  checkFilter(program: Uint8Array): number
  /**
   * Runs such a program on `count` frames of a slab, at the (offset, length) pairs of `spans`, and puts what it returns for each in
   * `results`: 0 for a frame that is dropped. Returns how many are not, or -EINVAL for a program that the kernel would not take,
   * -EOPNOTSUPP for one that asks for what only the kernel has.
   */
  runFilter(program: Uint8Array, slab: Uint8Array, spans: Uint32Array, count: number, results: Uint32Array): number

  /**
   * The end that a datagram socket is. `flags`: 1 IP packets; 2 a Unix socket; 4 connected; 8 UDP_SEGMENT may be used; 16 UDP_GRO is
   * on; 32 what is written goes to whoever was heard last.
   */
  createDatagramEnd(fd: number, flags: number): NativeEnd
  /** Where what is written goes, if the socket is not connected; an empty address: nowhere. */
  setDatagramRemote(end: NativeEnd, address: Uint8Array): number
  /** Fills `address` (128 bytes) in with that, and returns its length. */
  datagramRemote(end: NativeEnd, address: Uint8Array): number
  /** The same for where frame `i` of the latest batch came from; 0 when that is not known. */
  datagramSource(end: NativeEnd, i: number, address: Uint8Array): number
  /** Finds out whether the peer of a Unix socket has a successor. */
  refreshDatagram(end: NativeEnd): void

  /**
   * The end that a stream socket is, with QEMU's framing. `signal`: an eventfd that is written when a connection ends. `lasting`, 1
   * or 0: the end outlives its connections, and has none at first. A negated errno when there is no memory or descriptor.
   */
  createStreamEnd(fd: number, signal: number, lasting: number): NativeEnd | number
  /** Puts a connection under the number of the end's descriptor. `fd` stays open, and the caller's. */
  setStreamDescriptor(end: NativeEnd, fd: number): number
  /** To be called when the end's descriptor is closed: closes what else it has. */
  releaseStreamEnd(end: NativeEnd): void
  /** 0 while there is a connection, else the negated errno that ended it; -ENOTCONN before the first. */
  streamState(end: NativeEnd): number

  /** Two joined ends and their descriptors: end, fd, end, fd. `flags`: 1 IP packets, 2 offload headers are carried. */
  createPairEnds(capacity: number, flags: number): [NativeEnd, number, NativeEnd, number] | number
  /** Ends one end of a pair: the other one reads what waits for it, and then its end (-EPIPE). */
  closePairEnd(end: NativeEnd): void
}

const load = createRequire(import.meta.url)('node-gyp-build') as (folder: string) => unknown

export const native = load(fileURLToPath(new URL('..', import.meta.url))) as Native
