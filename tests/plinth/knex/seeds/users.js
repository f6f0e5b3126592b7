exports.seed = async (knex) => {
  const createdAt = "2015-10-09T12:00:00Z";
  const [{ id: userId }] = await knex("users")
    .insert({ createdAt, firstName: "Ada", lastName: "Lovelace", email: "ada@example.com" })
    .returning("id");
  await knex("authentication").insert({ createdAt, type: "local", identifier: "ada@example.com", userId });
};
