package io.crescendo.cuda;

import static io.crescendo.cuda.CudaLowering.arguments;
import static jcuda.cudaDataType.CUDA_R_16BF;
import static jcuda.cudaDataType.CUDA_R_32F;
import static jcuda.jcublas.JCublas2.cublasGemmEx_new;
import static jcuda.jcublas.JCublas2.cublasSetWorkspace;
import static jcuda.jcublas.cublasComputeType.CUBLAS_COMPUTE_32F;
import static jcuda.jcublas.cublasComputeType.CUBLAS_COMPUTE_32F_FAST_TF32;
import static jcuda.jcublas.cublasGemmAlgo.CUBLAS_GEMM_DEFAULT;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_N;
import static jcuda.jcublas.cublasOperation.CUBLAS_OP_T;

import io.crescendo.autograd.Op;
import io.crescendo.autograd.Value;
import io.crescendo.backend.Precision;
import jcuda.Pointer;

/**
 * Dense layers and their gradients through cuBLAS; the bias through bias.cu.
 *
 * <p>cuBLAS's workspace is scratch memory of the operation, no more than summing in parts can use: planned like all
 * else, and at most 4 MiB for ten classes of 128 samples instead of the 32 MiB that it would allocate.
 *
 * <p>Beside cublasSetWorkspace it calls cublasGemmEx only, which in JCuda is {@code cublasGemmEx_new}: its
 * {@code cublasGemmEx} is the function of CUDA 10, takes a data type where this one takes a type of computation,
 * answers "not supported" to the latter, and does not throw. Types (its table of supported combinations): A and B
 * float32 with C float32, or A and B bf16 with C bf16 or float32; scalars and sums are float32, so with bf16 a weight
 * gradient goes straight into the float32 pack. beta is 1 exactly for weight gradients.
 *
 * <p>IMPLEMENTATION NOTES. cuBLAS counts columns first. A row-major (rows, columns) matrix is, to it, the transposed
 * one with leading dimension {@code columns}; so every product below is written for the transposed result, with its
 * factors in the other order.
 */
final class DenseLayers {
    /** Summands may be dealt to as many parts of the device, each with a float32 result of its own. */
    private static final long PARTS = 32;
    /** What cuBLAS asks for on Hopper to have all its algorithms. Source: its manual, section 2.4.8. */
    private static final long MOST_WORKSPACE_BYTES = 32L << 20;

    private static final Pointer ZERO = Pointer.to(new float[] {0});
    private static final Pointer ONE = Pointer.to(new float[] {1});

    private final CudaLowering lowering;

    DenseLayers(CudaLowering lowering) {
        this.lowering = lowering;
    }

    /** y (N, K) = x (N, F) · weightᵀ (F, K): to cuBLAS, yᵀ (K, N) = weight (K, F) · xᵀ (F, N). */
    OpPlan forward(Op.Dense op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.output());
        Nhwc x = Nhwc.of(op.input());
        Nhwc y = Nhwc.of(op.output());
        Product product = new Product(true, false, y.channels(), y.rows(), x.channels(), activation(), false);
        long scratch = plan.scratch(product.workspaceBytes());
        plan.launch(at -> product.bind(
                lowering.factor(at, op.weight()),
                at.value(op.input()),
                at.value(op.output()),
                at.scratch(plan, scratch)));
        Value bias = op.bias();
        if (bias != null) {
            lowering.launch(
                    plan,
                    "add_bias",
                    lowering.grids().rows(y.rows(), y.channels()),
                    at -> arguments(
                            at.value(op.output()), at.value(op.output()), at.weights(bias), y.rows(), y.channels(), 0));
        }
        return plan;
    }

    /** dx (N, F) = dy (N, K) · weight (K, F): to cuBLAS, dxᵀ (F, N) = weightᵀ (F, K) · dyᵀ (K, N). */
    OpPlan inputGradient(Op.DenseInputGradient op) {
        OpPlan plan = lowering.plan();
        lowering.define(plan, op.inputGradient());
        Nhwc dx = Nhwc.of(op.inputGradient());
        Nhwc dy = Nhwc.of(op.outputGradient());
        Product product = new Product(false, false, dx.channels(), dx.rows(), dy.channels(), activation(), false);
        long scratch = plan.scratch(product.workspaceBytes());
        plan.launch(at -> product.bind(
                lowering.factor(at, op.weight()),
                at.value(op.outputGradient()),
                at.value(op.inputGradient()),
                at.scratch(plan, scratch)));
        return plan;
    }

    /** dweight (K, F) += dyᵀ (K, N) · x (N, F): to cuBLAS, dweightᵀ (F, K) += xᵀ (F, N) · dy (N, K). */
    OpPlan weightGradient(Op.DenseWeightGradient op) {
        OpPlan plan = lowering.plan();
        Nhwc x = Nhwc.of(op.input());
        Nhwc dy = Nhwc.of(op.outputGradient());
        Product product = new Product(false, true, x.channels(), dy.channels(), x.rows(), CUDA_R_32F, true);
        long scratch = plan.scratch(product.workspaceBytes());
        plan.launch(at -> product.bind(
                at.value(op.input()),
                at.value(op.outputGradient()),
                at.gradients(op.weightGradient()),
                at.scratch(plan, scratch)));
        Value biasGradient = op.biasGradient();
        if (biasGradient != null) {
            Biases.appendGradient(lowering, plan, op.outputGradient(), biasGradient);
        }
        return plan;
    }

    private int activation() {
        return lowering.bf16() ? CUDA_R_16BF : CUDA_R_32F;
    }

    /** One call of cuBLAS: C (m, n) = A (m, k) · B (k, n), or added to C, columns first. */
    private final class Product {
        final boolean transposeA;
        final boolean transposeB;
        final int m;
        final int n;
        final int k;
        final int resultType;
        final boolean accumulate;

        Product(boolean transposeA, boolean transposeB, int m, int n, int k, int resultType, boolean accumulate) {
            this.transposeA = transposeA;
            this.transposeB = transposeB;
            this.m = m;
            this.n = n;
            this.k = k;
            this.resultType = resultType;
            this.accumulate = accumulate;
        }

        /** Enough to sum in parts; no more is asked for than cuBLAS can use. */
        long workspaceBytes() {
            return Math.min(PARTS * Float.BYTES * m * n, MOST_WORKSPACE_BYTES);
        }

        Launch bind(long a, long b, long c, long workspace) {
            DevicePointer aPointer = DevicePointer.at(a);
            DevicePointer bPointer = DevicePointer.at(b);
            DevicePointer cPointer = DevicePointer.at(c);
            DevicePointer workspacePointer = DevicePointer.at(workspace);
            int compute =
                    lowering.target().precision() == Precision.TF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
            return lane -> {
                cublasSetWorkspace(lane.cublas(), workspacePointer, workspaceBytes());
                cublasGemmEx_new(
                        lane.cublas(),
                        transposeA ? CUBLAS_OP_T : CUBLAS_OP_N,
                        transposeB ? CUBLAS_OP_T : CUBLAS_OP_N,
                        m,
                        n,
                        k,
                        ONE,
                        aPointer,
                        activation(),
                        transposeA ? k : m,
                        bPointer,
                        activation(),
                        transposeB ? n : k,
                        accumulate ? ONE : ZERO,
                        cPointer,
                        resultType,
                        m,
                        compute,
                        CUBLAS_GEMM_DEFAULT);
            };
        }
    }
}
