// Memory of nghttp2's sessions: free lists of the thread, by size. nghttp2 allocates some ten small things for each request (stream, frames,
// header values), of which a busy connection frees and takes hundreds in a turn: more than malloc keeps at hand. Room-private.
// A session is used on one thread; what is freed on another just joins that thread's lists.
// The room in which nghttp2 puts a frame together, 16 KiB and so most of an idle session, is one for all sessions of a thread: a session fills
// it and empties it within one pump(), calls nobody else meanwhile, and leaves nothing in it.
#pragma once

#include <nghttp2/nghttp2.h>

#include <memory>

namespace fairlead::h2 {

// Of one session; outlives it.
class SessionMemory {
 public:
  static constexpr size_t kFrameRoom = 9 + 1 + 16384;  // what nghttp2 1.52 asks for, NGHTTP2_FRAMEBUF_CHUNKLEN; another size is taken from malloc

  SessionMemory();
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;
  nghttp2_mem* get() { return &memory_; }  // for nghttp2_session_*_new3()

 private:
  static void give(void* memory, void* self);
  static void* resize(void* memory, size_t size, void* self);

  nghttp2_mem memory_;
  std::shared_ptr<char[]> frame_room_;  // lent to nghttp2; it outlives the thread if a session does
};

}  // namespace fairlead::h2
