// The end that a datagram socket is: one datagram, one frame. UDP over IPv4 and IPv6, and Unix sockets.
#ifndef NETKIT_DATAGRAM_END_H_
#define NETKIT_DATAGRAM_END_H_

#include <string.h>
#include <sys/socket.h>

#include "end.h"
#include "lock.h"

namespace netkit {

// What createDatagramEnd takes; lib/native.ts has the same numbers.
constexpr uint32_t kDatagramLayer3 = 1;
constexpr uint32_t kDatagramUnix = 2;       // a Unix socket, not UDP
constexpr uint32_t kDatagramConnected = 4;  // the kernel knows where to send to, and whom to hear
constexpr uint32_t kDatagramGso = 8;        // UDP_SEGMENT may be used
constexpr uint32_t kDatagramGro = 16;       // UDP_GRO is on
constexpr uint32_t kDatagramLearn = 32;     // who was heard last is sent to

// The address of a socket of any family.
struct Address {
  sockaddr_storage storage;
  socklen_t length = 0;
};

// Frames that were received and not yet handed over, because they were more than was asked for: one GRO buffer may have
// more frames than there is room in the list of them.
class FrameQueue {
 public:
  FrameQueue() = default;
  FrameQueue(const FrameQueue&) = delete;
  FrameQueue& operator=(const FrameQueue&) = delete;
  ~FrameQueue();

  bool empty() const { return read_ == written_; }
  // False when there is no memory.
  bool Push(const uint8_t* frame, uint32_t length, const Address& source);
  // The next frame, valid until the next Push() or Pop().
  const uint8_t* Front(uint32_t* length, Address* source) const;
  void Pop();

 private:
  uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  size_t read_ = 0;
  size_t written_ = 0;
};

class DatagramEnd : public End {
 public:
  static const char kKind;

  DatagramEnd(int fd, uint32_t flags)
      : End(fd, (flags & kDatagramLayer3) != 0), flags_(flags), gso_((flags & kDatagramGso) != 0) {}

  int Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) override;
  int Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) override;
  bool batches() const override { return true; }
  bool pending() const override { return !rest_.empty(); }
  bool worth_joining() const override { return (flags_ & kDatagramUnix) == 0; }
  const void* kind() const override { return &kKind; }

  // Where frames go when the socket is not connected; a length of 0: nowhere. Any thread.
  void SetRemote(const Address& remote);
  Address remote();
  // Where frame `index` of the last Read() came from; a length of 0 when that is not known. Any thread.
  Address Source(uint32_t index);
  // A Unix socket that was connected to wait for its peer: finds the peer's successor. Any thread.
  void Refresh();
  // Whether UDP_SEGMENT is still used.
  bool segments() const { return gso_.load(std::memory_order_relaxed); }

 protected:
  ~DatagramEnd() override;

 private:
  struct Incoming;
  struct Outgoing;

  bool Is(uint32_t flag) const { return (flags_ & flag) != 0; }
  // These three want mutex_ held.
  void TakeRest(Incoming& incoming);
  uint32_t Place(Incoming& incoming, uint8_t* data, size_t length, size_t segment, const Address& source);
  void Remember(uint32_t index, const Address& source);
  bool IsForSegments(int error, const Outgoing& message);
  void WaitForPeer();

  const uint32_t flags_;
  // For the reader.
  FrameQueue rest_;
  uint32_t expected_ = 1;  // frames that a datagram of the kernel's may hold, by experience
  // For the writer.
  std::atomic<bool> gso_;
  size_t longest_segment_ = SIZE_MAX;  // longer ones do not fit the path's MTU, and are sent one by one

  Mutex mutex_;
  Address remote_;        // guarded by mutex_
  bool waiting_ = false;  // guarded by mutex_: connected to poll for the peer
  // Where the frames of the last Read() came from, of a UDP socket that is not connected. Guarded by mutex_.
  struct Kept {
    uint8_t bytes[28];
    uint8_t length;
  };
  Kept* sources_ = nullptr;
  uint32_t sources_size_ = 0;
  uint32_t sources_count_ = 0;
};

}  // namespace netkit

#endif  // NETKIT_DATAGRAM_END_H_
