/** Connections to other protocols than rtnetlink: nothing about links is known below lib/rtnetlink. */
import { type Test, test } from 'tap'
import type { Namespace } from '../dist/namespace/namespace.js'
import { attributeU16, attributeU32, binary, text } from '../dist/netlink/attribute.js'
import { NetlinkConnection, type Request } from '../dist/netlink/connection.js'
import { MessageDefinition, netlinkConstants } from '../dist/netlink/message.js'
import { be16, octets, Struct, u8, u16, u32 } from '../dist/netlink/struct.js'
import { attributes, nested } from '../dist/netlink/table.js'
import { leavesNoDescriptor } from './support/counting.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'

const { NLM_F_DUMP, NETLINK_GENERIC, NETLINK_SOCK_DIAG } = netlinkConstants

async function connect(t: Test, namespace: Namespace, protocol: number): Promise<NetlinkConnection> {
  const connection = await NetlinkConnection.open(namespace.fd, protocol)
  t.teardown(() => connection.close())
  return connection
}

/** struct genlmsghdr and the controller's attributes (linux/genetlink.h). */
const genericHeader = new Struct('genlmsghdr', {
  command: ['cmd', u8],
  version: ['version', u8],
  reserved: ['reserved', u16],
})
const groupEntry = attributes({
  name: [1, 'CTRL_ATTR_MCAST_GRP_NAME', text],
  id: [2, 'CTRL_ATTR_MCAST_GRP_ID', attributeU32],
})
const groupEntries = attributes({ first: [1, 'group 1', nested(groupEntry)] })
const controllerAttributes = attributes({
  id: [1, 'CTRL_ATTR_FAMILY_ID', attributeU16],
  name: [2, 'CTRL_ATTR_FAMILY_NAME', text],
  version: [3, 'CTRL_ATTR_VERSION', attributeU32],
  operations: [6, 'CTRL_ATTR_OPS', binary],
  groups: [7, 'CTRL_ATTR_MCAST_GROUPS', nested(groupEntries)],
})
const controllerMessage = new MessageDefinition(genericHeader, controllerAttributes)

test('another protocol: generic netlink', await needs('namespaces'), async (t) => {
  const connection = await connect(t, await scratch(t), NETLINK_GENERIC)
  const request = (name: string, found: object[]): Request => ({
    what: `find ${name}`,
    syscall: 'CTRL_CMD_GETFAMILY',
    definition: controllerMessage,
    bytes: controllerMessage.encode(16, 0, { command: 3, version: 1 }, { name }),
    onReply: (message) => found.push(controllerMessage.decode(message)),
  })
  const found: object[] = []
  const missing = connection.request(request('no-such-family', found))
  await Promise.all([
    t.rejects(missing, { code: 'ENOENT', syscall: 'CTRL_CMD_GETFAMILY' }),
    connection.request(request('nlctrl', found)),
  ])
  t.match(found, [
    { header: { command: 1 }, attributes: { id: 16, name: 'nlctrl', groups: { first: { name: 'notify' } } } },
  ])
  const all: { attributes: { name?: string } }[] = []
  await connection.request({
    ...request('all', []),
    dump: true,
    bytes: controllerMessage.encode(16, NLM_F_DUMP, { command: 3, version: 1 }, {}),
    onReply: (message) => all.push(controllerMessage.decode(message)),
  })
  t.ok(all.some(({ attributes }) => attributes.name === 'nlctrl'))
  const wrong = {
    ...request('x', []),
    bytes: controllerMessage.encode(16, 0, { command: 3, version: 1 }, { '#1': new Uint8Array(1) }),
  }
  await t.rejects(connection.request(wrong), { code: 'ERANGE', attribute: 'CTRL_ATTR_FAMILY_ID' })
})

/** struct inet_diag_req_v2 and the beginning of struct inet_diag_msg (linux/inet_diag.h). */
const diagRequest = new Struct('inet_diag_req_v2', {
  family: ['sdiag_family', u8],
  protocol: ['sdiag_protocol', u8],
  extensions: ['idiag_ext', u8],
  pad: ['pad', u8],
  states: ['idiag_states', u32],
  id: ['id', octets(48)],
})
const diagAnswer = new Struct('inet_diag_msg', {
  family: ['idiag_family', u8],
  state: ['idiag_state', u8],
  timer: ['idiag_timer', u8],
  retransmissions: ['idiag_retrans', u8],
  port: ['id.idiag_sport', be16],
})

test('another protocol: sock_diag', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  const server = await namespace.listen({ port: 7007, host: '127.0.0.1' })
  t.teardown(() => server.close())
  const connection = await connect(t, namespace, NETLINK_SOCK_DIAG)
  const definition = new MessageDefinition(diagRequest, attributes({}))
  const found: object[] = []
  await connection.request({
    what: 'list sockets',
    syscall: 'SOCK_DIAG_BY_FAMILY',
    definition,
    dump: true,
    bytes: definition.encode(20, NLM_F_DUMP, { family: 2, protocol: 6, states: 0xffff_ffff }, {}),
    onReply: ({ source, start, end }) => found.push(diagAnswer.decode(source, start, end - start)),
  })
  t.match(found, [{ family: 2, state: 10, port: 7007 }])
  const unknown = {
    what: 'list',
    syscall: 'SOCK_DIAG_BY_FAMILY',
    definition,
    dump: true,
    bytes: definition.encode(20, NLM_F_DUMP, { family: 99 }, {}),
  }
  await t.rejects(connection.request(unknown), { code: /^E[A-Z]+$/ })
})

test('a protocol that there is not', await needs('namespaces'), async (t) => {
  const namespace = await scratch(t)
  await leavesNoDescriptor(t, 'a failure', async () => {
    await t.rejects(NetlinkConnection.open(namespace.fd, 31), {
      code: 'EPROTONOSUPPORT',
      syscall: 'socket',
      message: /protocol 31/,
    })
  })
})
