SELECT
  MIN(
    CASE
      WHEN (
        ABS(CAST("amount" AS DOUBLE)) <= 1.7976931348623157e308
      )
      THEN CAST("amount" AS DOUBLE)
    END
  ) AS "lo0",
  MAX(
    CASE
      WHEN (
        ABS(CAST("amount" AS DOUBLE)) <= 1.7976931348623157e308
      )
      THEN CAST("amount" AS DOUBLE)
    END
  ) AS "hi0",
  APPROX_DISTINCT("amount") AS "d0",
  MIN(
    CASE
      WHEN (
        ABS(CAST("spread" AS DOUBLE)) <= 1.7976931348623157e308
      )
      THEN CAST("spread" AS DOUBLE)
    END
  ) AS "lo1",
  MAX(
    CASE
      WHEN (
        ABS(CAST("spread" AS DOUBLE)) <= 1.7976931348623157e308
      )
      THEN CAST("spread" AS DOUBLE)
    END
  ) AS "hi1",
  APPROX_DISTINCT("spread") AS "d1"
FROM "warehouse"."predictions";

SELECT
  *
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY "i", "w"
      ORDER BY CASE WHEN "l" IS NULL THEN 0 ELSE 1 END ASC, "n" DESC, "l" ASC
    ) AS "place"
  FROM (
    SELECT
      "i",
      CAST(NULL AS VARCHAR) AS "w",
      "b",
      "l",
      "k",
      COUNT(*) AS "n",
      COUNT("v") AS "f",
      SUM("v") AS "t"
    FROM (
      SELECT
        "c"."i",
        CASE
          WHEN "c"."i" = 0
          THEN CASE
            WHEN CAST("amount" AS DOUBLE) IS NULL
            THEN -1
            WHEN NOT (
              ABS(CAST("amount" AS DOUBLE)) <= 1.7976931348623157e308
            )
            THEN CASE WHEN 1.0e0 / CAST("amount" AS DOUBLE) = 0.0e0 THEN -3 ELSE -2 END
            WHEN CAST("amount" AS DOUBLE) <= 0.0e0
            THEN 0
            WHEN CAST("amount" AS DOUBLE) > 1000079360.0e0
            THEN 3816
            ELSE CAST(CEIL(CAST("amount" AS DOUBLE) * 3.814697265625e-06) AS INTEGER)
          END
          WHEN "c"."i" = 2
          THEN CASE
            WHEN CAST("spread" AS DOUBLE) IS NULL
            THEN -1
            WHEN NOT (
              ABS(CAST("spread" AS DOUBLE)) <= 1.7976931348623157e308
            )
            THEN CASE WHEN 1.0e0 / CAST("spread" AS DOUBLE) = 0.0e0 THEN -3 ELSE -2 END
            WHEN CAST("spread" AS DOUBLE) <= 0.0e0
            THEN 0
            WHEN CAST("spread" AS DOUBLE) > 1000005825462272.0e0
            THEN 3639
            ELSE CAST(CEIL(CAST("spread" AS DOUBLE) * 3.637978807091713e-12) AS INTEGER)
          END
        END AS "b",
        CASE WHEN "c"."i" = 1 THEN CAST("country" AS VARCHAR) END AS "l",
        CAST(NULL AS VARCHAR) AS "k",
        CASE
          WHEN "c"."i" = 0
          THEN CAST("amount" AS DOUBLE)
          WHEN "c"."i" = 2
          THEN CAST("spread" AS DOUBLE)
        END AS "v"
      FROM "warehouse"."predictions"
      CROSS JOIN (
        SELECT
          0 AS "i"
        UNION ALL
        SELECT
          1 AS "i"
        UNION ALL
        SELECT
          2 AS "i"
        UNION ALL
        SELECT
          3 AS "i"
      ) AS "c"
    ) AS "x"
    GROUP BY
      "i",
      "b",
      "l",
      "k"
  ) AS "y"
) AS "z"
WHERE
  "place" <= CASE WHEN "i" = 1 THEN 1052 ELSE 2147483647 END;

SELECT
  *
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY "i", "w"
      ORDER BY CASE WHEN "l" IS NULL THEN 0 ELSE 1 END ASC, "n" DESC, "l" ASC
    ) AS "place"
  FROM (
    SELECT
      "i",
      CAST(NULL AS VARCHAR) AS "w",
      "b",
      "l",
      "k",
      COUNT(*) AS "n",
      COUNT("v") AS "f",
      SUM("v") AS "t",
      MIN("v") AS "lo",
      MAX("v") AS "hi"
    FROM (
      SELECT
        "c"."i",
        CASE
          WHEN "c"."i" = 0
          THEN CASE
            WHEN CAST("amount" AS DOUBLE) IS NULL
            THEN -1
            WHEN NOT (
              ABS(CAST("amount" AS DOUBLE)) <= 1.7976931348623157e308
            )
            THEN CASE WHEN 1.0e0 / CAST("amount" AS DOUBLE) = 0.0e0 THEN -3 ELSE -2 END
            WHEN CAST("amount" AS DOUBLE) <= 0.0e0
            THEN 0
            WHEN CAST("amount" AS DOUBLE) > 1000079360.0e0
            THEN 3816
            ELSE CAST(CEIL(CAST("amount" AS DOUBLE) * 3.814697265625e-06) AS INTEGER)
          END
          WHEN "c"."i" = 2
          THEN CASE
            WHEN CAST("spread" AS DOUBLE) IS NULL
            THEN -1
            WHEN NOT (
              ABS(CAST("spread" AS DOUBLE)) <= 1.7976931348623157e308
            )
            THEN CASE WHEN 1.0e0 / CAST("spread" AS DOUBLE) = 0.0e0 THEN -3 ELSE -2 END
            WHEN CAST("spread" AS DOUBLE) <= 0.0e0
            THEN 0
            WHEN CAST("spread" AS DOUBLE) > 1000005825462272.0e0
            THEN 3639
            ELSE CAST(CEIL(CAST("spread" AS DOUBLE) * 3.637978807091713e-12) AS INTEGER)
          END
        END AS "b",
        CASE WHEN "c"."i" = 1 THEN CAST("country" AS VARCHAR) END AS "l",
        CAST(NULL AS VARCHAR) AS "k",
        CASE
          WHEN "c"."i" = 0
          THEN CAST("amount" AS DOUBLE)
          WHEN "c"."i" = 2
          THEN CAST("spread" AS DOUBLE)
        END AS "v"
      FROM "warehouse"."predictions"
      CROSS JOIN (
        SELECT
          0 AS "i"
        UNION ALL
        SELECT
          1 AS "i"
        UNION ALL
        SELECT
          2 AS "i"
        UNION ALL
        SELECT
          3 AS "i"
      ) AS "c"
    ) AS "x"
    GROUP BY
      "i",
      "b",
      "l",
      "k"
  ) AS "y"
) AS "z"
WHERE
  "place" <= CASE WHEN "i" = 1 THEN 1058 ELSE 2147483647 END;
