// The whole Envoy API (and what it imports) as a serialised google.protobuf.FileDescriptorSet inside the binary,
// every file after its imports. Read it through base/descriptors.h.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

extern const char fairlead_descriptor_data_begin[];
extern const char fairlead_descriptor_data_end[];

#ifdef __cplusplus
}
#endif
