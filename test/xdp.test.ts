/** XDP programs, attached by descriptor. A program in C loads them and becomes node, which inherits their descriptors. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { createVeth } from '../dist/index.js'
import { attachAttribute, detachAttributes, readXdp } from '../dist/rtnetlink/xdp.js'
import { needs } from './support/needs.js'
import { packageFolder } from './support/program.js'
import { RANGE, refused, TYPE, VALUE, type Wrong } from './support/refused.js'
import { scratch } from './support/scratch.js'

/** Two programs that pass every frame (XDP_PASS), as descriptors 20 and 21. */
const loader = `
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(int count, char **arguments) {
  struct bpf_insn code[] = {
    { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = XDP_PASS },
    { .code = BPF_JMP | BPF_EXIT },
  };
  for (int target = 20; target < 22; target++) {
    union bpf_attr attribute;
    memset(&attribute, 0, sizeof attribute);
    attribute.prog_type = BPF_PROG_TYPE_XDP;
    attribute.insn_cnt = 2;
    attribute.insns = (uintptr_t)code;
    attribute.license = (uintptr_t)"GPL";
    int fd = syscall(SYS_bpf, BPF_PROG_LOAD, &attribute, sizeof attribute);
    if (fd < 0 || dup2(fd, target) < 0) { perror("bpf"); return 1; }
  }
  if (count < 2) return 0;
  execv(arguments[1], arguments + 1);
  return 1;
}
`

const folder = mkdtempSync(join(tmpdir(), 'netkit-xdp-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const program = join(folder, 'loader')

/** What a test of attaching needs, with a loader that works. */
async function able(): Promise<{ skip: string | false }> {
  const needed = await needs('namespaces', 'ip', 'cc')
  if (needed.skip !== false) return needed
  const compiled = spawnSync('cc', ['-o', program, '-x', 'c', '-'], { input: loader, encoding: 'utf8' })
  if (compiled.status !== 0) return { skip: `the loader cannot be compiled: ${compiled.stderr.split('\n')[0]}` }
  const { status, stderr } = spawnSync(program, { encoding: 'utf8' })
  return { skip: status === 0 ? false : `no XDP program can be loaded here: ${stderr.trim()}` }
}

/** Runs in the namespace with the two descriptors; prints what it finds as JSON. */
const steps = `
  import { execFileSync } from 'node:child_process'
  import { currentNamespace } from './dist/index.js'
  const link = await currentNamespace().links.get('eth0')
  const found = []
  const show = (what) => {
    const [{ xdp }] = JSON.parse(execFileSync('ip', ['-j', '-d', 'link', 'show', 'eth0']))
    found.push({ what, netkit: link.xdp ?? null, iproute2: xdp ?? null })
  }
  const failing = async (what, call) => {
    found.push({ what, code: await call().then(() => 'none', (error) => error.code) })
  }
  await link.attachXdp({ fd: 20, mode: 'generic' }); show('generic')
  await failing('taken', () => link.attachXdp({ fd: 21, mode: 'generic', ifNoneAttached: true }))
  await failing('not the expected', () => link.attachXdp({ fd: 21, mode: 'generic', replace: 21 }))
  await link.attachXdp({ fd: 21, mode: 'generic', replace: 20 }); show('replaced')
  await failing('detach another', () => link.detachXdp({ mode: 'generic', expected: 20 }))
  await link.detachXdp(); show('detached')
  await link.detachXdp(); show('detached again')
  await link.attachXdp({ fd: 20, ifNoneAttached: true }); show('default')
  await failing('other mode', () => link.attachXdp({ fd: 21, mode: 'generic' }))
  await link.attachXdp({ fd: 21, mode: 'driver' }); show('driver')
  execFileSync('ip', ['link', 'set', 'eth0', 'xdpdrv', 'off'])
  await link.refresh(); show('iproute2 detached')
  await failing('no program', () => link.attachXdp({ fd: 1 }))
  await failing('no descriptor', () => link.attachXdp({ fd: 999 }))
  await failing('no hardware', () => link.attachXdp({ fd: 20, mode: 'offload' }))
  console.log(JSON.stringify(found))
`

const modes = { 1: 'driver', 2: 'generic', 3: 'offload', 4: 'multi' } as Readonly<Record<number, string>>

t.test('attach, replace, detach', await able(), async (t) => {
  const red = await scratch(t)
  await createVeth({ name: 'eth0', namespace: red, up: true }, { namespace: red, up: true })
  const args = [process.execPath, '--input-type=module', '--eval', steps]
  const { stdout } = await red.exec(program, args, { check: true, cwd: packageFolder })
  const found: Wrong[] = JSON.parse(stdout)
  const codes = Object.fromEntries(found.filter(({ code }) => code !== undefined).map(({ what, code }) => [what, code]))
  t.match(codes, {
    taken: 'EBUSY',
    'not the expected': 'EEXIST',
    'detach another': 'EEXIST',
    'other mode': 'EEXIST',
    'no program': 'EINVAL',
    'no descriptor': 'EBADF',
  })
  t.not(codes['no hardware'], 'none')
  const shown = found.filter(({ code }) => code === undefined)
  const said = shown.map(({ what, netkit }) => [what, netkit?.mode ?? 'none'])
  t.same(said, [
    ['generic', 'generic'],
    ['replaced', 'generic'],
    ['detached', 'none'],
    ['detached again', 'none'],
    ['default', 'driver'],
    ['driver', 'driver'],
    ['iproute2 detached', 'none'],
  ])
  for (const { what, netkit, iproute2 } of shown) {
    t.equal(netkit?.mode, modes[iproute2?.mode], `${what}: the mode`)
    t.equal(netkit?.programs[netkit.mode], iproute2?.prog.id, `${what}: the program`)
  }
  t.not(shown[0].netkit.programs.generic, shown[1].netkit.programs.generic, 'another program')
})

t.test('what is read and sent', (t) => {
  t.equal(readXdp(undefined), undefined)
  t.equal(readXdp({ attached: 'none' }), undefined)
  t.same(
    readXdp({ attached: 'driver', programId: 7 }),
    { mode: 'driver', programs: { driver: 7 } },
    'before Linux 4.20',
  )
  const multi = readXdp({ attached: 'multi', genericProgramId: 8, offloadProgramId: 9 })
  t.same(multi, { mode: 'multi', programs: { generic: 8, offload: 9 } })
  t.same(detachAttributes({}, multi), [
    { fd: -1, flags: 2 },
    { fd: -1, flags: 8 },
  ])
  t.same(detachAttributes({ mode: 'driver', expected: 5 }, multi), [{ fd: -1, flags: 4 | 16, expectedFd: 5 }])
  t.same(attachAttribute({ fd: 3, mode: 'driver', ifNoneAttached: true }), { fd: 3, flags: 4 | 1 })
  t.same(attachAttribute({ fd: 3, replace: 4 }), { fd: 3, flags: 16, expectedFd: 4 })
  t.same(readXdp({ attached: 9 }), { mode: 9, programs: {} })
  t.end()
})

t.test('wrong input', await needs('namespaces'), async (t) => {
  const red = await scratch(t)
  const [link] = await createVeth({ namespace: red }, { namespace: red })
  const attach = (options: Wrong) => () => link.attachXdp(options)
  await refused(t, 'no descriptor', attach({}), TYPE, 'options.fd must be an integer')
  await refused(t, 'a negative one', attach({ fd: -1 }), RANGE, 'options.fd must be from 0')
  await refused(
    t,
    'a mode',
    attach({ fd: 3, mode: 'skb' }),
    VALUE,
    "options.mode 'skb': expected one of generic, driver",
  )
  await refused(
    t,
    'both',
    attach({ fd: 3, replace: 4, ifNoneAttached: true }),
    VALUE,
    'options.replace 4: is of no use',
  )
  await refused(t, 'detach', () => link.detachXdp({ mode: 'x' as Wrong }), VALUE, "options.mode 'x'")
})
