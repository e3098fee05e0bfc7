// What a capture refuses, and what ends it.
#include "report.h"
#include "runtime.h"

namespace emulator {

cudaError_t invalidate(Capture& capture, cudaError_t error, const char* what) {
  if (capture.valid) report("%s is not allowed here: the capture is invalidated", what);
  capture.valid = false;
  return error;
}

cudaError_t refuse_in_capture(const char* what) {
  cudaError_t error = cudaSuccess;
  for (const auto& s : runtime().streams.all)
    if (s->capture && !s->capture->relaxed && runtime().thread_mode != cudaStreamCaptureModeRelaxed)
      error = invalidate(*s->capture, cudaErrorStreamCaptureUnsupported, what);
  return error;
}

cudaError_t refuse_legacy_in_capture(const char* what) {
  cudaError_t error = cudaSuccess;
  for (const auto& s : runtime().streams.all)
    if (s->capture && s->blocking) error = invalidate(*s->capture, cudaErrorStreamCaptureImplicit, what);
  return error;
}

}  // namespace emulator
