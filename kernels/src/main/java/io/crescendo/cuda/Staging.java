package io.crescendo.cuda;

import static jcuda.driver.JCudaDriver.cuMemcpyHtoDAsync;
import static jcuda.driver.JCudaDriver.cuStreamSynchronize;

import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;

/**
 * The way of a feed from the host to the device, beside what the device computes.
 *
 * <pre>
 * feed ─► pinned pieces, 4 of 4 MiB ─► upload stream ─► slot 0 or 1 on the device ─► compute stream reads it
 * </pre>
 *
 * <p>The host copies into one piece while the copy engine sends the one before. Uploads alternate between two slots, so
 * one may be filled while the step before still reads the other. Events say when a piece may be overwritten (its copy
 * is done), when the compute stream may read a slot (all its pieces have come) and when a slot may be overwritten (the
 * compute stream has read it). The caller waits only for pieces: once {@link #finish} returns, the feed was read.
 */
final class Staging implements AutoCloseable {
    private static final int PIECES = 4;
    private static final int PIECE_BYTES = 4 << 20;
    private static final int SLOTS = 2;

    private final CudaDevice device;
    private final CudaScope scope;
    private final Piece[] pieces = new Piece[PIECES];
    private final Slot[] slots = new Slot[SLOTS];
    private DeviceBlock memory = DeviceBlock.allocate("the next images", 0);
    private long slotBytes;
    private long generation;
    private int nextPiece;
    private int nextSlot;
    private long sentPieces;
    private int filledBytes;

    private static final class Piece {
        private final PinnedBlock block;
        private final FloatBuffer floats;
        private final IntBuffer ints;
        private final CudaEvent sent;

        private Piece(CudaScope scope) {
            block = scope.own(new PinnedBlock("images on their way to the device", PIECE_BYTES));
            ByteBuffer bytes = block.bytes();
            floats = bytes.asFloatBuffer();
            ints = bytes.asIntBuffer();
            sent = scope.own(new CudaEvent());
        }
    }

    private static final class Slot {
        private final CudaEvent filled;
        private final CudaEvent emptied;
        /** Where each piece of an upload goes: made once, because replay allocates nothing. */
        private DevicePointer[] parts = {};

        private Slot(CudaScope scope) {
            filled = scope.own(new CudaEvent());
            emptied = scope.own(new CudaEvent());
        }
    }

    Staging(CudaDevice device, CudaScope scope) {
        this.device = device;
        this.scope = scope;
        for (int i = 0; i < PIECES; i++) {
            pieces[i] = new Piece(scope);
        }
        for (int i = 0; i < SLOTS; i++) {
            slots[i] = new Slot(scope);
        }
        scope.onClose(() -> memory.close());
    }

    /** Changes whenever the slots' addresses do. */
    long generation() {
        return generation;
    }

    int slots() {
        return SLOTS;
    }

    /** Where a slot starts on the device. */
    long address(int slot) {
        return memory.address() + slot * slotBytes;
    }

    /** Makes both slots at least this large. */
    void reserve(long bytes) {
        long wanted = (bytes + OpPlan.SCRATCH_ALIGNMENT - 1) / OpPlan.SCRATCH_ALIGNMENT * OpPlan.SCRATCH_ALIGNMENT;
        if (wanted <= slotBytes) {
            return;
        }
        cuStreamSynchronize(device.uploadStream());
        device.await();
        generation++;
        slotBytes = 0;
        memory.close();
        memory = DeviceBlock.allocate("the next images", SLOTS * wanted);
        slotBytes = wanted;
        for (int s = 0; s < SLOTS; s++) {
            slots[s].parts = new DevicePointer[Math.toIntExact((slotBytes + PIECE_BYTES - 1) / PIECE_BYTES)];
            for (int p = 0; p < slots[s].parts.length; p++) {
                slots[s].parts[p] = DevicePointer.at(address(s) + (long) p * PIECE_BYTES);
            }
        }
    }

    /** Starts an upload; gives the slot it goes to. */
    int begin() {
        nextSlot = (nextSlot + 1) % SLOTS;
        sentPieces = 0;
        slots[nextSlot].emptied.holdBack(device.uploadStream());
        beginPiece();
        return nextSlot;
    }

    private void beginPiece() {
        nextPiece = (nextPiece + 1) % PIECES;
        pieces[nextPiece].sent.await();
        filledBytes = 0;
    }

    /** Appends one number. */
    void putLong(long value) {
        // In halves, lower first, as every machine with a CUDA device stores it: no view of longs is needed.
        putInt((int) value);
        putInt((int) (value >>> Integer.SIZE));
    }

    private void putInt(int value) {
        makeRoom();
        pieces[nextPiece].ints.put(filledBytes / Integer.BYTES, value);
        filledBytes += Integer.BYTES;
    }

    /** Leaves bytes out until the upload has this many. */
    void skipTo(long bytes) {
        while (sentPieces * PIECE_BYTES + filledBytes < bytes) {
            putInt(0);
        }
    }

    /** Appends the first numbers of a buffer. */
    void putInts(IntBuffer source, int count) {
        for (int done = 0; done < count; ) {
            makeRoom();
            int part = Math.min(count - done, (PIECE_BYTES - filledBytes) / Integer.BYTES);
            pieces[nextPiece].ints.put(filledBytes / Integer.BYTES, source, done, part);
            filledBytes += part * Integer.BYTES;
            done += part;
        }
    }

    /** Appends the first numbers of a buffer. */
    void putFloats(FloatBuffer source, int count) {
        for (int done = 0; done < count; ) {
            makeRoom();
            int part = Math.min(count - done, (PIECE_BYTES - filledBytes) / Float.BYTES);
            pieces[nextPiece].floats.put(filledBytes / Float.BYTES, source, done, part);
            filledBytes += part * Float.BYTES;
            done += part;
        }
    }

    private void makeRoom() {
        if (filledBytes == PIECE_BYTES) {
            send();
            beginPiece();
        }
    }

    private void send() {
        Piece piece = pieces[nextPiece];
        DevicePointer to = slots[nextSlot].parts[(int) sentPieces];
        cuMemcpyHtoDAsync(to, piece.block.pointer(), filledBytes, device.uploadStream());
        piece.sent.record(device.uploadStream());
        sentPieces++;
    }

    /** Sends the rest and lets the compute stream wait for it. What comes next on that stream may read the slot. */
    void finish() {
        send();
        slots[nextSlot].filled.record(device.uploadStream());
        slots[nextSlot].filled.holdBack(device.stream());
    }

    /** Says that what is on the compute stream now is the last that reads the slot of this upload. */
    void release() {
        slots[nextSlot].emptied.record(device.stream());
    }

    @Override
    public void close() {
        scope.close();
    }
}
