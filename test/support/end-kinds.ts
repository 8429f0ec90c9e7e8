/** One of each kind of packet end, with what is at the other end of its cable. */
import { once } from 'node:events'
import { join } from 'node:path'
import type { Test } from 'tap'
import { createVeth } from '../../dist/index.js'
import type { Namespace } from '../../dist/namespace/namespace.js'
import type { PacketEnd } from '../../dist/packets/end.js'
import { openDatagramBatch } from '../../dist/sockets/datagram-batch.js'
import { openPacketSocket } from '../../dist/sockets/packet-socket.js'
import { createEndPair } from '../../dist/sockets/pair.js'
import { openQemuDatagram } from '../../dist/sockets/qemu-datagram.js'
import { openQemuStream } from '../../dist/sockets/qemu-stream.js'
import { openTap } from '../../dist/tuntap/tap.js'
import { folder } from './sockets.js'

export interface Plugged {
  /** What the pump gets. */
  plug: PacketEnd
  /** What is at the other end of its cable. */
  station: PacketEnd
}

/** Two ends of each kind, joined by what that kind is joined by. `offload`: the pump's end has it, where it can. */
export const endKinds: Record<string, (t: Test, namespace: Namespace, offload: boolean) => Promise<Plugged>> = {
  async tap(_t, namespace, offload) {
    const plug = await openTap({ namespace, name: `t${next()}`, mtu: 65_521, up: true, offload })
    return { plug, station: await openPacketSocket({ namespace, link: plug.link, direction: 'inbound' }) }
  },
  async 'packet socket'(_t, namespace, offload) {
    const number = next()
    const both = { mtu: 65_535, up: true, namespace }
    const [near, far] = await createVeth({ name: `p${number}`, ...both }, { name: `q${number}`, ...both })
    return {
      plug: await openPacketSocket({ namespace, link: near, direction: 'inbound', offload }),
      station: await openPacketSocket({ namespace, link: far, direction: 'inbound' }),
    }
  },
  async datagram(_t, namespace) {
    const local = { address: '127.0.0.1', port: 0 }
    const plug = await openDatagramBatch({ namespace, local })
    const station = await openDatagramBatch({ namespace, local, remote: plug.local })
    plug.remote = station.local
    return { plug, station }
  },
  async 'QEMU datagram'(t) {
    const path = await folder(t)
    const [near, far] = [join(path, 'near'), join(path, 'far')]
    return {
      plug: await openQemuDatagram({ path: near, remote: far }),
      station: await openQemuDatagram({ path: far, remote: near }),
    }
  },
  async 'QEMU stream'(t) {
    const path = join(await folder(t), 'socket')
    const plug = await openQemuStream({ path, server: true })
    const station = await openQemuStream({ path })
    if (!plug.connected) await once(plug, 'connect')
    return { plug, station }
  },
  async pair(_t, _namespace, offload) {
    const [plug, station] = createEndPair({ offload })
    return { plug, station }
  },
}

let numbers = 0
const next = () => ++numbers
