/** What the kernel itself makes of classic BPF: a program in C that attaches each filter to a socket and sends frames through it. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/**
 * Reads, again and again: the number of instructions and of frames (32 bits each), the instructions, and each frame behind its
 * length. Writes a word: 0, or the errno of SO_ATTACH_FILTER; when it is 0, a word for each frame: how many bytes came through.
 */
const source = `
#include <errno.h>
#include <linux/filter.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
static int take(void *bytes, size_t size) { return fread(bytes, 1, size, stdin) == size; }
static void put(uint32_t word) { fwrite(&word, 1, 4, stdout); }
int main(void) {
  static uint8_t frame[70000], came[70000];
  uint32_t head[2];
  while (take(head, sizeof head)) {
    struct sock_filter *code = calloc(head[0] + 1, sizeof *code);
    if (!take(code, head[0] * sizeof *code)) return 1;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return 2;
    struct sock_fprog program = { head[0], code };
    int refused = setsockopt(pair[1], SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) == 0 ? 0 : errno;
    put(refused);
    for (uint32_t i = 0; i < head[1]; i++) {
      uint32_t length;
      if (!take(&length, 4) || length > sizeof frame || !take(frame, length)) return 3;
      if (refused) continue;
      if (send(pair[0], frame, length, 0) != length) return 4;
      ssize_t got = recv(pair[1], came, sizeof came, MSG_DONTWAIT);
      put(got < 0 ? 0 : got);
    }
    close(pair[0]);
    close(pair[1]);
    free(code);
  }
  return 0;
}
`

/** A program, and frames for it. */
export interface FilterCase {
  program: Uint8Array
  frames: readonly Uint8Array[]
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** For each case the errno of attaching, and how many bytes of each frame came through: 0 for a frame that was dropped. */
export function askKernel(cases: readonly FilterCase[]): { errno: number; kept: number[] }[] {
  const folder = mkdtempSync(join(tmpdir(), 'netkit-filter-'))
  try {
    const path = join(folder, 'referee')
    // A sanitizer's runtime is for this process, not for the compiler, whose leaks it would report.
    const { LD_PRELOAD: _, ...env } = process.env
    const compiled = spawnSync('cc', ['-O1', '-o', path, '-x', 'c', '-'], { input: source, encoding: 'utf8', env })
    if (compiled.status !== 0) throw new Error(`the referee cannot be compiled: ${compiled.stderr}`)
    const input = Buffer.concat(
      cases.flatMap(({ program, frames }) => [
        word(program.length / 8),
        word(frames.length),
        program,
        ...frames.flatMap((frame) => [word(frame.length), frame]),
      ]),
    )
    const { status, stdout } = spawnSync(path, { input, env, maxBuffer: 1 << 28 })
    if (status !== 0) throw new Error(`the referee ended with ${status}`)
    let at = 0
    const next = () => {
      at += 4
      return stdout.readUInt32LE(at - 4)
    }
    return cases.map(({ frames }) => {
      const errno = next()
      return { errno, kept: errno === 0 ? frames.map(next) : [] }
    })
  } finally {
    rmSync(folder, { recursive: true })
  }
}
