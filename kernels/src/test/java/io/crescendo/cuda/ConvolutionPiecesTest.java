package io.crescendo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.crescendo.cuda.Convolutions.Piece;
import java.util.List;
import java.util.Random;
import org.jspecify.annotations.NullMarked;
import org.junit.jupiter.api.Test;

@NullMarked
class ConvolutionPiecesTest {
    @Test
    void piecesCoverAllSamplesAndStartAligned() {
        long seed = Long.getLong("crescendo.seed", new Random().nextLong());
        Random random = new Random(seed);
        for (int round = 0; round < 1000; round++) {
            int samples = 1 + random.nextInt(3000);
            long most = 8L + random.nextInt(500);
            List<Piece> pieces = Convolutions.pieces(samples, most);
            String what = "seed " + seed + ": " + samples + " by " + most + ": " + pieces;
            int next = 0;
            for (Piece piece : pieces) {
                assertEquals(next, piece.first(), what);
                assertTrue(piece.samples() > 0 && piece.samples() <= most, what);
                assertTrue(piece.samples() <= pieces.get(0).samples(), what);
                assertEquals(0, piece.first() % 8, what); // eight bf16 numbers are 16 bytes
                next += piece.samples();
            }
            assertEquals(samples, next, what);
        }
    }

    @Test
    void whatFitsIsOnePiece() {
        assertEquals(List.of(new Piece(0, 7)), Convolutions.pieces(7, 7));
        assertEquals(List.of(new Piece(0, 16), new Piece(16, 1)), Convolutions.pieces(17, 16));
    }
}
