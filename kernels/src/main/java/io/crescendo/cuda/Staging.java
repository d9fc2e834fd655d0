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
 * <p>Slots have no memory before it is asked for: where batches are made from images of the device, perhaps nothing is
 * fed.
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
        private final DeviceRegion region;
        /** Where each piece of an upload goes: made once, because replay allocates nothing. */
        private DevicePointer[] parts = {};

        private Slot(CudaDevice device, CudaScope scope) {
            region = scope.own(DeviceRegion.on(device, "the next images"));
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
            slots[i] = new Slot(device, scope);
        }
    }

    /** Changes whenever the slots' addresses do. */
    long generation() {
        long all = 0;
        for (Slot slot : slots) {
            all += slot.region.generation();
        }
        return all;
    }

    int slots() {
        return SLOTS;
    }

    /** Where a slot starts on the device. */
    long address(int slot) {
        return slots[slot].region.address();
    }

    /** Whether there was a reason to give the slots memory. */
    boolean isUsed() {
        return slots[0].region.capacityBytes() > 0;
    }

    /** Makes both slots at least this large. */
    void reserve(long bytes) {
        for (Slot slot : slots) {
            if (bytes > slot.region.capacityBytes()) {
                if (!device.mapsMemory()) {
                    cuStreamSynchronize(device.uploadStream()); // nothing may come to a slot that moves
                }
                slot.region.reserve(bytes);
                place(slot, Math.toIntExact((slot.region.capacityBytes() + PIECE_BYTES - 1) / PIECE_BYTES));
            }
        }
    }

    private static void place(Slot slot, int count) {
        DevicePointer[] placed = new DevicePointer[count];
        for (int p = 0; p < count; p++) {
            placed[p] = DevicePointer.at(slot.region.address() + (long) p * PIECE_BYTES);
        }
        slot.parts = placed;
    }

    /** Has the memory ready that {@link #reserve} will be asked for, where slots are in use; on another thread. */
    void prepare(long bytes) {
        for (Slot slot : slots) {
            while (isUsed() && slot.region.prepare(bytes)) {}
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
