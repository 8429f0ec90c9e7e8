// A learning Ethernet switch on a thread of its own, whose ports are packet ends.
#ifndef NETKIT_SWITCH_H_
#define NETKIT_SWITCH_H_

#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

#include <atomic>

#include "descriptor.h"
#include "end.h"
#include "job.h"
#include "switch_table.h"

namespace netkit {

constexpr uint32_t kMostPorts = 1024;
constexpr uint32_t kVlans = 4096;

// What a port is told to do. Plain values, copied from one thread to the other.
struct PortSettings {
  uint16_t vlan = 1;  // of frames without a tag; 0: they are dropped. Only in a switch that knows VLANs.
  bool learning = true;
  bool isolated = false;              // exchanges nothing with other isolated ports
  uint32_t address_limit = 0;         // 0: none
  double flood_limit = 0;             // frames a second to unknown and multicast addresses; 0: none
  double broadcast_limit = 0;         // frames a second; 0: none
  uint64_t tagged[kVlans / 64] = {};  // the VLANs that it carries with their tag

  bool carries(uint16_t id) const { return (tagged[id / 64] >> (id % 64) & 1) != 0; }
};

// What a port has seen. Written by the switch's thread, read by any.
struct PortCounters {
  std::atomic<uint64_t> values[12];
  enum Which {
    kFramesIn,
    kBytesIn,
    kFramesOut,
    kBytesOut,
    kFlooded,     // of those that came in, to several ports for want of a known one
    kFiltered,    // came in, and were to go nowhere: same port, isolated, VLAN, somebody's fixed address, reserved
                  // address
    kInvalid,     // came in, and are no frames: too short, or from an address that nobody has
    kOverLimit,   // came in, and were too many: addresses, floods, broadcasts
    kDroppedOut,  // were to go out, and the end was full or refused them
    kAddresses,   // learnt and fixed ones, now
    kMoves,       // addresses that came from another port
    kTableFull,   // addresses that were not learnt because the table is full
  };
};

// Tokens a second, with a tenth of a second's worth at a time.
class Limiter {
 public:
  void Set(double rate) {
    rate_ = rate;
    most_ = rate / 10 < 1 ? 1 : rate / 10;
    if (tokens_ > most_) tokens_ = most_;
  }
  bool Take(uint64_t now) {
    if (rate_ <= 0) return true;
    tokens_ += rate_ * static_cast<double>(now - last_) / 1000;
    last_ = now;
    if (tokens_ > most_) tokens_ = most_;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double rate_ = 0, most_ = 1, tokens_ = 1;
  uint64_t last_ = 0;
};

class Switch;

// Something that JavaScript wants of a switch: applied by its thread, between two rounds.
class SwitchCommand : public Job {
 public:
  void Run() override {}
  virtual void Apply(Switch& self) = 0;
};

// What JavaScript's object, the job and the commands share. Counted by reference.
class SwitchMailbox {
 public:
  SwitchMailbox();
  // Returns 0 or a negated errno.
  int Open();
  int fd() const { return wake_.get(); }
  // Takes the command, or refuses it when the switch has ended. From the loop's thread.
  void Push(Environment& environment, SwitchCommand* command);
  // From the loop's thread: no command will be taken any more, and the thread ends.
  void Stop();
  bool stopping() const { return stopping_.load(std::memory_order_acquire); }
  // From the loop's thread, when the switch's is gone: JavaScript's object may live on for long.
  void CloseWake();
  // From the switch's thread.
  SwitchCommand* Pop();
  void Empty();

  // The job while it exists; for the loop's thread.
  Switch* job() const { return job_; }
  void SetJob(Switch* job) { job_ = job; }

  PortCounters& counters(uint32_t port) { return counters_[port]; }

  void Ref() { references_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
  }

 private:
  ~SwitchMailbox();

  uv_mutex_t mutex_ = {};
  JobList commands_;  // guarded by mutex_
  std::atomic<bool> stopping_{false};
  Descriptor wake_;
  PortCounters* counters_ = nullptr;
  Switch* job_ = nullptr;
  std::atomic<uint32_t> references_{1};
};

class Switch : public LongJob {
 public:
  struct Options {
    bool vlans = false;
    uint64_t ageing = 300000;  // milliseconds; 0: never
    uint32_t addresses = 16384;
  };

  // Takes over one reference to the mailbox. `callback` is called with the number of a port whose end failed, and its
  // negated errno.
  Switch(Environment& environment, SwitchMailbox* mailbox, const Options& options, napi_value callback);
  ~Switch() override;
  bool Prepare();

  void Run() override;
  void Refuse(int error) override { result_ = error; }
  void Stop() override { mailbox_->Stop(); }
  void Notified(Environment& environment) override;
  napi_value Finish(Environment& environment) override;
  void ReleaseValues(napi_env env) override;

  // For commands, on the switch's thread.
  int AddPort(uint32_t id, End* end, const PortSettings& settings);
  int SetPort(uint32_t id, const PortSettings& settings);
  int RemovePort(uint32_t id);
  int AddAddress(uint32_t id, uint16_t vlan, uint64_t address);
  int RemoveAddress(uint16_t vlan, uint64_t address);
  void Flush(uint32_t id);  // the learnt ones of a port, of all when it is kMostPorts
  SwitchTable& table() { return table_; }
  uint64_t now() const { return now_; }

 private:
  struct Port {
    End* end = nullptr;  // null: no such port
    PortSettings settings;
    Limiter flood, broadcast;
    uint32_t addresses = 0;
    int error = 0;        // its end failed, and is left alone until it is removed
    Span* out = nullptr;  // what is to be written this round
    uint32_t out_count = 0;
    uint64_t out_bytes = 0;
  };

  // Frames that are read from a port before the next has its turn.
  static constexpr uint32_t kBatch = 256;
  // Frames of up to 64 KiB fill this; others only its beginning.
  static constexpr size_t kSlab = 2 * 1024 * 1024;
  static constexpr size_t kSmallSlab = 512 * 1024;
  // Frames with another tag, behind the slab.
  static constexpr size_t kCopies = 512 * 1024;

  // A frame on its way.
  struct Passing {
    Span span;     // as it came
    uint16_t tag;  // the tag's 16 bits, or what they would be
    bool tagged;   // whether it came with one
    bool copied;   // whether `other` is there: the frame with the tag put in or taken out
    Span other;
  };

  void Forward(uint32_t from, uint32_t count);
  // False when it is not for this port.
  bool Deliver(uint32_t from, uint32_t to, uint16_t vlan, Passing& frame);
  void MakeRoom();
  bool Copy(Passing& frame);
  bool Classify(uint32_t from, Passing& frame, uint16_t* vlan);
  bool TakeFlood(Port& port, uint64_t destination);
  // False when the frame is not to pass.
  bool Learn(uint32_t from, uint64_t key);
  void WriteAll();
  void Fail(uint32_t id, int error);
  void Count(uint32_t id, PortCounters::Which which, uint64_t value) {
    mailbox_->counters(id).values[which].fetch_add(value, std::memory_order_relaxed);
  }
  void TellAddresses(uint32_t id) {
    mailbox_->counters(id).values[PortCounters::kAddresses].store(ports_[id].addresses, std::memory_order_relaxed);
  }
  void Age();
  bool ApplyCommands();
  void Clear();

  Environment& environment_;
  SwitchMailbox* mailbox_;
  const Options options_;
  Port* ports_ = nullptr;
  pollfd* polled_ = nullptr;
  uint32_t* polled_ids_ = nullptr;
  uint32_t highest_ = 0;  // above the highest port's number
  SwitchTable table_;
  uint8_t* slab_ = nullptr;
  size_t copies_ = 0;  // where frames with another tag begin in the slab
  Span* spans_ = nullptr;
  uint64_t now_ = 0;
  uint64_t aged_ = 0;
  int result_ = 0;
  napi_ref callback_ = nullptr;
  // Ports that failed and were not told of yet: guarded by told_.
  uv_mutex_t told_ = {};
  uint32_t failed_[kMostPorts];
  int failures_[kMostPorts];
  uint32_t failed_count_ = 0;
};

}  // namespace netkit

#endif  // NETKIT_SWITCH_H_
