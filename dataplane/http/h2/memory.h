// Memory of nghttp2's sessions: free lists of the thread, by size. nghttp2 allocates some ten small things for each request (stream, frames,
// header values), of which a busy connection frees and takes hundreds in a turn: more than malloc keeps at hand. Room-private.
// A session is used on one thread; what is freed on another just joins that thread's lists.
#pragma once

#include <nghttp2/nghttp2.h>

namespace fairlead::h2 {

// For nghttp2_session_*_new3(). Lives as long as the process.
nghttp2_mem* session_memory();

}  // namespace fairlead::h2
