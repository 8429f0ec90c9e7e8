/** Links that are captured, by packet sockets. */
import { setTimeout as delay } from 'node:timers/promises'
import { namedError } from '../errors.js'
import { currentNamespace } from '../namespace/open.js'
import { native } from '../native.js'
import { type PacketFilter, packetFilter } from '../packets/filter.js'
import type { Link } from '../rtnetlink/link.js'
import { linkMessage, wholePayload } from '../rtnetlink/link-attributes.js'
import { fetchLink } from '../rtnetlink/link-lookup.js'
import { isLink, type LinkReference } from '../rtnetlink/link-options.js'
import '../rtnetlink/links.js'
import { packetConstants } from '../sockets/packet-constants.js'
import { openPacketSocket } from '../sockets/packet-socket.js'
import { type CaptureOptions, described, filterOf } from './capture-options.js'
import { linkTypes, WHOLE_FRAME } from './constants.js'
import { linkTypeOfHardware } from './hardware.js'
import type { SourceParts } from './source.js'

/** BPF_RET | BPF_K (linux/bpf_common.h): a program that keeps `k` bytes of every frame. */
const keep = (k: number): PacketFilter => packetFilter([{ code: 0x06, jt: 0, jf: 0, k }])

/** A packet socket: both directions of a link, with the kernel's times. The kernel does not even copy what is not kept. */
export async function linkSource(reference: LinkReference, options: CaptureOptions): Promise<SourceParts> {
  const namespace = options.namespace ?? (isLink(reference) ? reference.namespace : currentNamespace())
  const link = await namespace.links.get(isLink(reference) ? reference.index : reference)
  const linkType = await linkTypeOf(link)
  const { snapshotLength = WHOLE_FRAME, promiscuous, ring, signal } = options
  const filter =
    filterOf(options, linkType === linkTypes.raw) ?? (snapshotLength < WHOLE_FRAME ? keep(snapshotLength) : undefined)
  const socket = await openPacketSocket({
    link,
    namespace,
    direction: 'both',
    offload: true,
    ...(filter === undefined ? {} : { filter }),
    ...(promiscuous === undefined ? {} : { promiscuous }),
    ...(ring === undefined ? {} : { ring }),
    ...(signal === undefined ? {} : { signal }),
  })
  const { name, alias, mac } = link
  return {
    end: socket,
    description: described(
      {
        name,
        linkType,
        ...(alias ? { description: alias } : {}),
        ...(linkType === linkTypes.ethernet && mac ? { mac } : {}),
      },
      options,
    ),
    isOwn: true,
    async stop() {
      const [fd] = socket.fds
      const { SOL_SOCKET, SO_ATTACH_FILTER } = packetConstants
      if (fd !== undefined) native.setSocketProgram(fd, SOL_SOCKET, SO_ATTACH_FILTER, keep(0).bytes)
      // A block of a ring that is not full is handed over after a while.
      if (ring) await delay(2 * (typeof ring === 'object' ? (ring.timeout ?? 4) : 4))
    },
    dropped: () => socket.stats().dropped ?? 0,
  }
}

/** The link type of a link's frames. */
async function linkTypeOf(link: Link): Promise<number> {
  const what = `cannot capture on ${link.name}`
  const payload = await fetchLink(link.namespace, link.index, what)
  const { type } = linkMessage.decode(wholePayload(payload)).header
  const linkType = linkTypeOfHardware(type)
  if (linkType !== undefined) return linkType
  throw namedError('EOPNOTSUPP', 'capture', `${what}: its frames, of hardware type ${type}, have no known format`)
}
