exports.up = (knex) =>
  knex.schema.createTable("authentication", (table) => {
    table.increments("id").primary();
    table.timestamp("createdAt").notNullable();
    table.timestamp("updatedAt");
    table.string("type").notNullable();
    table.string("identifier").notNullable();
    table.string("password");
    table.json("data");
    table.integer("userId").notNullable().references("id").inTable("users").onDelete("CASCADE");
  });

exports.down = (knex) => knex.schema.dropTable("authentication");
