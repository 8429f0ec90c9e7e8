/** Filters about VLANs in the kernel: a packet socket sees frames whose outer tag was taken out of them. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'tap'
import { createVeth, type PacketCondition, packetFilter } from '../dist/index.js'
import { needs } from './support/needs.js'
import { scratch } from './support/scratch.js'

/**
 * Arguments: a filter in hexadecimal, then frames. Sends the frames out of 'left', and prints the number of each that a packet
 * socket with the filter gets from 'right', and how long it is there.
 */
const source = `
#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
static size_t octets(const char *text, uint8_t *bytes) {
  size_t length = 0;
  for (unsigned octet; sscanf(text + 2 * length, "%2x", &octet) == 1; length++) bytes[length] = octet;
  return length;
}
static int open_on(const char *name, int protocol, struct sock_fprog *filter) {
  int fd = socket(AF_PACKET, SOCK_RAW, 0);
  struct sockaddr_ll address = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = if_nametoindex(name) };
  if (filter != NULL && setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter, sizeof *filter) != 0) return -1;
  return bind(fd, (struct sockaddr *)&address, sizeof address) == 0 ? fd : -1;
}
int main(int count, char **arguments) {
  static uint8_t code[32768], frame[2000], came[2000];
  struct sock_fprog filter = { octets(arguments[1], code) / 8, (struct sock_filter *)code };
  int witness = open_on("right", ETH_P_ALL, NULL), in = open_on("right", ETH_P_ALL, &filter), out = open_on("left", 0, NULL);
  if (witness < 0 || in < 0 || out < 0) { perror("socket"); return 1; }
  for (int i = 2; i < count; i++) {
    size_t length = octets(arguments[i], frame);
    if (send(out, frame, length, 0) < 0) { perror("send"); return 1; }
    // Both sockets are served in one go: when the one without a filter has it, so has the other, or never will.
    struct pollfd seen = { witness, POLLIN, 0 }, wait = { in, POLLIN, 0 };
    if (poll(&seen, 1, 10000) != 1) return 2;
    recv(witness, came, sizeof came, 0);
    if (poll(&wait, 1, 20) != 1) continue;
    printf("%d %zd\\n", i - 2, recv(in, came, sizeof came, 0));
  }
  return 0;
}
`

const header = '020000000002 020000000001'
/** Each is 60 bytes, with its tags. */
const frames = [
  `${header} 0800`,
  `${header} 8100 0005 0800`,
  `${header} 8100 e005 86dd`,
  `${header} 8100 0007 0800`,
  `${header} 88a8 0005 8100 0007 0800`,
  `${header} 8100 0005 0806`,
].map((text) => text.replaceAll(' ', '').padEnd(120, '0'))

const able = await needs('namespaces', 'cc')

test('on a packet socket', able, async (t) => {
  const namespace = await scratch(t)
  namespace.sysctl.set('net.ipv6.conf.default.disable_ipv6', 1)
  await createVeth({ name: 'left', namespace, up: true }, { name: 'right', namespace, up: true })
  await (await namespace.links.get('right')).waitFor({ operationalState: 'up' })
  const program = join(t.testdir({}), 'referee')
  const compiled = spawnSync('cc', ['-O1', '-o', program, '-x', 'c', '-'], { input: source, encoding: 'utf8' })
  t.equal(compiled.status, 0, compiled.stderr)

  const rules: [condition: PacketCondition, expected: number[], here?: number[]][] = [
    [{}, [0, 1, 2, 3, 4, 5]],
    [{ vlan: true }, [1, 2, 3, 4, 5]],
    [{ vlan: false }, [0]],
    [{ vlan: 5 }, [1, 2, 4, 5]],
    [{ vlan: 5, etherType: 'ip' }, [1]],
    [{ vlan: 5, etherType: 'ipv6' }, [2]],
    [{ vlan: 5, any: [{ vlan: 7, etherType: 'ip' }, { arp: true }] }, [4, 5]],
    [{ not: { vlan: 5 } }, [0, 3]],
    [{ vlan: 5, bytes: { offset: 12, size: 2, value: 0x0800 } }, [1]],
    // Without a word about tags, the frame is what the socket sees: one that has lost its outer tag.
    [{ etherType: 'ip' }, [0, 1, 3], [0]],
  ]
  for (const [condition, expected, here = expected] of rules) {
    const filter = packetFilter(condition)
    const { stdout } = await namespace.exec(program, [filter.bytes.toString('hex'), ...frames], { check: true })
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number))
    t.same(
      lines.map(([number]) => number),
      expected,
      JSON.stringify(condition),
    )
    for (const [number = 0, length] of lines) t.equal(length, number === 0 ? 60 : 56, 'the tag is out of the frame')
    const found = frames.flatMap((frame, i) => (filter.matches(Buffer.from(frame, 'hex')) ? [i] : []))
    t.same(found, here, 'in this process')
  }
})
