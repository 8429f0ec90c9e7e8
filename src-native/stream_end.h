// The end that a byte stream is, with frames in it as QEMU's "-netdev stream" and "-netdev socket" have them: each
// after its length, 32 bits in network order (net/stream.c and net/net.c of QEMU).
#ifndef NETKIT_STREAM_END_H_
#define NETKIT_STREAM_END_H_

#include <sys/uio.h>

#include "end.h"
#include "lock.h"

namespace netkit {

class StreamEnd : public End {
 public:
  static const char kKind;
  // The longest frame, and the shortest: an Ethernet header. What a peer announces beyond is no frame (EPROTO); what is
  // shorter is dropped and counted.
  static constexpr uint32_t kLongest = kFrameRoom - kFrameAlignment;
  static constexpr uint32_t kShortest = 14;

  // `signal`: an eventfd that is written when a connection ends. `lasting`: the end goes on without a connection, and
  // waits for SetDescriptor(), also at first, when `fd` may be anything.
  StreamEnd(int fd, int signal, bool lasting) : End(fd, false), signal_(signal), lasting_(lasting) {}

  int Read(uint8_t* slab, size_t size, size_t position, Span* spans, uint32_t max, FrameDetail* details) override;
  int Write(const uint8_t* slab, size_t size, const Span* spans, uint32_t count) override;
  bool wants_write() const override { return unsent_length_.load(std::memory_order_acquire) > 0; }
  int Flush() override;
  bool batches() const override { return true; }
  uint32_t generation() const override { return generation_.load(std::memory_order_acquire); }
  const void* kind() const override { return &kKind; }

  // Before anything else. Returns 0 or a negated errno.
  int Prepare();
  // Puts a connection under the number of this end, any thread. The caller closes `fd`. Returns 0 or a negated errno.
  int SetDescriptor(int fd);
  // After its descriptor is closed: gives back what else it has of the system.
  void Release();
  // 0 while there is a connection, else the negated errno that ended it (-ENOTCONN: there was none yet).
  int state() const { return state_.load(std::memory_order_acquire); }

 protected:
  ~StreamEnd() override;

 private:
  // What is read, in the slab: bytes from `start` on, of which `have` are there.
  struct Window {
    uint8_t* slab;
    size_t start;
    size_t have;
    uint32_t count;
  };

  // Returns 0, or -EPROTO.
  int Parse(Window& window, Span* spans, uint32_t max, Tally& tally);
  int Ended(int error);
  // Ends the connection, if it is still that one.
  void Disconnect(int error, uint32_t generation);
  void GoDown(int error);
  int SendUnsent();
  void DropUnsent();
  void Keep(const iovec* parts, size_t sent);

  const int signal_;
  const bool lasting_;
  int quiet_ = -1;  // an eventfd, what `fd` is while there is no connection
  std::atomic<int> state_{0};
  std::atomic<uint32_t> generation_{0};

  // Whoever wants both takes reading_ first.
  Mutex reading_;
  uint8_t* rest_ = nullptr;  // of an unfinished frame, with its length before
  size_t rest_length_ = 0;

  Mutex writing_;
  uint8_t* unsent_ = nullptr;  // of a frame that was begun
  size_t unsent_start_ = 0;
  size_t unsent_frame_ = 0;  // the length of that frame, which is counted when all of it is sent
  std::atomic<size_t> unsent_length_{0};
};

}  // namespace netkit

#endif  // NETKIT_STREAM_END_H_
