/** RTM_NEWADDR messages of a dump, as Linux 6.18 (x86-64) sent them. */
import { capture } from './capture.js'

/** IPv4, with broadcast address and label. */
export const inet = capture(`
  58000000 14000200 01000000 34120000      # 88 bytes, RTM_NEWADDR, flags 0x2, sequence 1, port 4660
  02188000 04000000                        # ifaddrmsg: family 2, prefixLength 24, flags 128, scope 0, index 4
  08000100 0a000101                        # IFA_ADDRESS 10.0.1.1
  08000200 0a000101                        # IFA_LOCAL 10.0.1.1
  08000400 0a0001ff                        # IFA_BROADCAST 10.0.1.255
  0a000300 6272303a 61000000               # IFA_LABEL br0:a
  08000800 80000000                        # IFA_FLAGS 128
  14000600 ffffffff ffffffff 3e8b0600 3e8b0600 # IFA_CACHEINFO {preferred: 4294967295, valid: 4294967295, created: 428862, updated: 428862}
`)

/** IPv4, point to point. */
export const peer = capture(`
  50000000 14000200 01000000 34120000      # 80 bytes, RTM_NEWADDR, flags 0x2, sequence 1, port 4660
  021e8000 02000000                        # ifaddrmsg: family 2, prefixLength 30, flags 128, scope 0, index 2
  08000100 0a000902                        # IFA_ADDRESS 10.0.9.2
  08000200 0a000901                        # IFA_LOCAL 10.0.9.1
  0a000300 76657468 32000000               # IFA_LABEL veth2
  08000800 80000000                        # IFA_FLAGS 128
  14000600 ffffffff ffffffff 3f8b0600 3f8b0600 # IFA_CACHEINFO {preferred: 4294967295, valid: 4294967295, created: 428863, updated: 428863}
`)

/** IPv6, with lifetimes. */
export const inet6 = capture(`
  48000000 14000200 01000000 34120000      # 72 bytes, RTM_NEWADDR, flags 0x2, sequence 1, port 4660
  0a400200 04000000                        # ifaddrmsg: family 10, prefixLength 64, flags 2, scope 0, index 4
  14000100 fd000000 00000000 00000000 00000001 # IFA_ADDRESS fd00::1
  14000600 07070000 0f0e0000 3f8b0600 3f8b0600 # IFA_CACHEINFO {preferred: 1799, valid: 3599, created: 428863, updated: 428863}
  08000800 02000000                        # IFA_FLAGS 2
`)

/** IPv6, made by the kernel. */
export const linkLocal = capture(`
  50000000 14000200 01000000 34120000      # 80 bytes, RTM_NEWADDR, flags 0x2, sequence 1, port 4660
  0a4080fd 04000000                        # ifaddrmsg: family 10, prefixLength 64, flags 128, scope 253, index 4
  14000100 fe800000 00000000 000000ff fe00000b # IFA_ADDRESS fe80::ff:fe00:b
  14000600 ffffffff ffffffff 3e8b0600 3e8b0600 # IFA_CACHEINFO {preferred: 4294967295, valid: 4294967295, created: 428862, updated: 428862}
  08000800 80000000                        # IFA_FLAGS 128
  05000b00 03000000                        # IFA_PROTO 3
`)
