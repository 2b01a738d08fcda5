#include "fixed.h"

// Kmin_argKmin over j of sum(square(x0 - y1)), by bounds, float
namespace gr { typedef Nearest<float, 20, L2, true, 0, 1> kernel_fa8c6bd00a057b41; }
extern "C" __attribute__((visibility("default"))) void run_kernel_fa8c6bd00a057b41(const gr::kernel_fa8c6bd00a057b41::Call *call) {
    gr::Driver<gr::kernel_fa8c6bd00a057b41>::run(*call);
}
extern "C" __attribute__((visibility("default"))) void layout_kernel_fa8c6bd00a057b41(gr::Layout *to) {
    typedef gr::kernel_fa8c6bd00a057b41 K;
    *to = gr::Layout{K::L, K::R, K::RB, K::COLUMN_BLOCK * K::L, K::NP * sizeof(K::Call::Scalar) / sizeof(K::T), K::NR, K::NC, sizeof(K::T)};
}
extern "C" __attribute__((visibility("default"))) int64_t scratch_bytes_kernel_fa8c6bd00a057b41(const gr::Sizes *n) {
    return gr::Driver<gr::kernel_fa8c6bd00a057b41>::scratch_bytes(*n);
}
extern "C" __attribute__((visibility("default"))) int64_t row_bytes_kernel_fa8c6bd00a057b41(int64_t K) {
    return gr::kernel_fa8c6bd00a057b41::row_bytes(K);
}
