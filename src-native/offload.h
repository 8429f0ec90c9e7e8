// What offload leaves undone, done here: checksums, cutting (GSO) and joining (GRO) of TCP and UDP over IPv4 and IPv6.
// Pure functions over bytes that anybody may have sent: nothing here trusts a length.
#ifndef NETKIT_OFFLOAD_H_
#define NETKIT_OFFLOAD_H_

#include "frame.h"

namespace netkit {

// Whether a writer with these kOffload… flags takes a frame with this header as it is. USO needs both kOffloadUso4 and
// kOffloadUso6: the header does not say which it is.
bool IsTaken(const OffloadHeader& header, uint32_t offloads);

// The most bytes that Segment() makes of a frame of `length` with this header, its alignment gaps included, wherever it
// begins; and, divided by kFrameAlignment, the most frames. 0 when Segment() would refuse it. With a segment size of
// one byte, this is a hundred times the frame and more: whoever takes frames from strangers sets a limit by `size` and
// `max`.
size_t SegmentRoom(const uint8_t* frame, size_t length, bool layer3, const OffloadHeader& header);

// Makes whole frames, with full checksums, of one frame with its header: copies when only a checksum is wanting. They
// are written to `slab` (which must not overlap the frame) from `position` on, aligned, and their places to `spans`.
// Returns how many; a negated errno (-EINVAL: header and frame contradict each other, -EMSGSIZE: no room, -E2BIG: more
// than `max`) and nothing of it. -EOPNOTSUPP for what is not made here: IP fragments (UFO), other kinds of
// segmentation, and the checksum of SCTP. Padding behind an IP packet that is cut is left out. The bytes are those that
// Linux makes: IPv4 ids count up, FIN and PSH are in the last segment only, CWR in the first only.
int Segment(const uint8_t* frame, size_t length, bool layer3, const OffloadHeader& header, uint8_t* slab, size_t size,
            size_t position, Span* spans, uint32_t max);

// Joins runs of frames of one flow to large ones, for a writer with these kOffload… flags: TCP segments that follow
// each other (same headers but sequence number, IPv4 id and length; no flag but ACK, and PSH on the last), UDP
// datagrams of one flow and length. A frame with a header is left as it is, unless its header says nothing. Right
// checksums only are joined; the order within a flow never changes. Writes the resulting frames (joined ones in `out`,
// from `position` on, with headers for the kernel to cut them again and NEEDS_CSUM) to `spans_out`; a frame that was
// left as it is gets copied to `out` too. Returns how many; -EMSGSIZE when `out` has no room for all (then nothing
// counts), or when there are more than `max_out`, -EINVAL when a span lies. Behind `position`, the lengths of all
// frames and 73 bytes for each are always room enough, and `count` of `max_out`.
//
// A frame with IP options or extension headers, a fragment, a frame with padding, one of UDP over IPv4 without checksum
// is not joined, nor are frames whose IPv4 ids do not count up, unless they must not be fragmented (RFC 6864). A run
// has 65,535 bytes of IP and 128 datagrams at most, and lies within 1,024 frames.
int Coalesce(const uint8_t* slab, size_t slab_size, const Span* spans, uint32_t count, bool layer3, uint32_t offloads,
             uint8_t* out, size_t out_size, size_t position, Span* spans_out, uint32_t max_out);

// The Internet checksum (RFC 1071) of bytes, added to `sum`; Fold() makes 16 bits of it, not yet inverted. All are in
// the order of memory: a result is stored as it is, by memcpy. Only the last of several pieces may have an odd length.
uint64_t AddToSum(uint64_t sum, const uint8_t* data, size_t length);
uint16_t Fold(uint64_t sum);

}  // namespace netkit

#endif  // NETKIT_OFFLOAD_H_
